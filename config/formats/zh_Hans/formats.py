# With seconds first, as a form shows it: it is sent back as it is shown.
TIME_INPUT_FORMATS = ["%H:%M:%S", "%H:%M"]
