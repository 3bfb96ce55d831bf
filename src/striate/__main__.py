"""`python -m striate`: the command line."""

from striate.cli.main import main

if __name__ == "__main__":
    main()
