"""Every change to people, their sign-ins and their points."""
