"""`python -m ecoserve`: the same as the command `ecoserve`."""

from ecoserve.cli.app import main

if __name__ == "__main__":
    main()
