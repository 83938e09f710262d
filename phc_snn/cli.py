"""Entry point of the command line. It needs nothing optional, so it can say what is missing."""

import sys

from phc_snn.extras import MissingExtraError, require

INTERRUPTED = "phc-snn: interrupted; files that were finished are complete"


def main() -> None:
    """Run ``phc-snn``; an error that the user can mend is one line and exit status 2."""
    try:
        for package in ("typer", "rich"):
            require(package, extra="cli")
        from phc_snn.commands import app

        app(prog_name="phc-snn")
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        raise SystemExit(130) from None
    except (MissingExtraError, OSError, ValueError) as error:
        print(f"phc-snn: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
