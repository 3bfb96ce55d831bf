"""Where the curves and figures of a fit are logged: one file for each value of `--log`."""
