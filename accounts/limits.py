"""What sign-in takes before it stops listening."""

WRONG_TRIES = 5  # of one code
LONGEST_DEVICE_INFO = 2000  # characters
LONGEST_WECHAT_CODE = 512  # characters
