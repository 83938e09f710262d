"""What all parts of the C99 library of a network have to know."""

import re
from dataclasses import dataclass

from phc_snn.firmware.plan import Plan
from phc_snn.models import PHCSSM

FLAGS = ("-std=c99", "-ffp-contract=off")
"""What a compiler has to be told. The source refuses what would change its arithmetic."""
BUILD = "@BUILD@"
"""Stands for the hash of both texts, until they are known."""


@dataclass(frozen=True)
class Library:
    """A plan, and the names of what is written for it.

    Attributes:
        plan: What has to be computed.
        prefix: Of every symbol.
        version: Of phc_snn.
        weight_hash: SHA-256 of the weights.
    """

    plan: Plan
    prefix: str
    version: str
    weight_hash: str

    @property
    def model(self) -> PHCSSM:
        return self.plan.model

    @property
    def big(self) -> str:
        """The prefix of macros."""
        return self.prefix.upper()

    @property
    def neurons(self) -> int:
        return self.model.network.features

    @property
    def read(self) -> int:
        """Neurons that are read out."""
        return self.model.decoder.in_features // self.model.windows


def check_name(name: str) -> None:
    """Refuse what cannot be a prefix of symbols, or the name of files.

    Raises:
        ValueError: It says what is expected.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
        raise ValueError(
            f"name: got {name!r}, expected a C identifier in lower case of at most 32 characters"
        )
    if name in _TAKEN:
        raise ValueError(
            f"name: got {name!r}, of which there would be another {name}.h or {name}.c; choose "
            "another"
        )


_TAKEN = {
    # C, and what an export has already
    *("assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits"),
    *("locale", "math", "setjmp", "signal", "stdalign", "stdarg", "stdatomic", "stdbool", "stddef"),
    *("stdint", "stdio", "stdlib", "stdnoreturn", "string", "tgmath", "threads", "time", "uchar"),
    *("wchar", "wctype", "main", "example_main"),
    # POSIX, glibc and newlib
    *("aio", "alloca", "byteswap", "cpio", "dirent", "dlfcn", "elf", "endian", "envlock", "err"),
    *(
        "fastmath",
        "fcntl",
        "features",
        "fnmatch",
        "ftw",
        "getopt",
        "glob",
        "grp",
        "iconv",
        "ieeefp",
    ),
    *("langinfo", "libgen", "link", "malloc", "memory", "monetary", "mqueue", "netdb", "newlib"),
    *("nl_types", "paths", "picolibc", "poll", "pthread", "pwd", "reent", "regex", "sched"),
    *("search", "semaphore", "spawn", "strings", "syslog", "tar", "termios", "trace", "ucontext"),
    *("unctrl", "unistd", "utime", "utmpx", "values", "wait", "wordexp", "xlocale"),
    # words of C and C++
    *("auto", "bool", "break", "case", "char", "class", "const", "continue", "default", "do"),
    *("double", "else", "enum", "extern", "for", "goto", "if", "inline", "int", "long"),
    *("namespace", "register", "return", "short", "signed", "sizeof", "static", "struct", "switch"),
    *("template", "this", "typedef", "union", "unsigned", "void", "volatile", "while"),
}
"""Names of which a header or a source is there already."""
