"""What can be the name of something in C, and what cannot."""

import re

WORDS = frozenset(
    (
        # C
        *("auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else"),
        *("enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register"),
        *("restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch"),
        *("typedef", "typeof", "union", "unsigned", "void", "volatile", "while"),
        # C++, which reads the header, and all of it on a GPU
        *("alignas", "alignof", "and", "asm", "bool", "catch", "class", "constexpr", "decltype"),
        *("delete", "explicit", "export", "false", "friend", "mutable", "namespace", "new"),
        *("noexcept", "not", "nullptr", "operator", "or", "private", "protected", "public"),
        *("requires", "template", "this", "throw", "true", "try", "typeid", "typename", "using"),
        *("virtual", "xor"),
    )
)

RESERVED = frozenset(
    (
        *WORDS,
        # Members that every state has, tables and functions of every library.
        *("total", "steps", "voltage", "spikes", "state", "input", "first", "post", "weight"),
        *("read", "reset", "step", "logits", "decide", "selftest", "hash", "hash_word", "encode"),
        *("finite", "power_of_two", "clear_readout", "read_scale", "encoder_weight"),
        *("encoder_bias", "encoder_scale", "encoder_shift", "decoder_weight", "decoder_bias"),
    )
)
"""What no state and no coefficient can be called."""

_HEADERS = frozenset(
    (
        # C
        *("assert", "complex", "ctype", "errno", "fenv", "inttypes", "iso646", "limits", "locale"),
        *("math", "setjmp", "signal", "stdalign", "stdarg", "stdatomic", "stdbit", "stdbool"),
        *("stdckdint", "stddef", "stdint", "stdio", "stdlib", "stdnoreturn", "string", "tgmath"),
        *("threads", "time", "uchar", "wchar", "wctype"),
        # POSIX, glibc and newlib
        *("aio", "alloca", "aliases", "ar", "argp", "argz", "byteswap", "cpio", "crypt", "dirent"),
        *("dlfcn", "elf", "endian", "envlock", "envz", "err", "error", "execinfo", "fastmath"),
        *("fcntl", "features", "fmtmsg", "fnmatch", "fstab", "fts", "ftw", "gconv", "getopt"),
        *("glob", "grp", "gshadow", "iconv", "ieeefp", "ifaddrs", "langinfo", "libgen", "libintl"),
        *("libio", "link", "malloc", "mcheck", "memory", "mntent", "monetary", "mqueue", "netdb"),
        *("newlib", "nl_types", "nss", "obstack", "paths", "picolibc", "poll", "printf"),
        *("proc_service", "process", "pthread", "pty", "pwd", "re_comp", "reent", "regdef"),
        *("regex", "regexp", "resolv", "sched", "search", "semaphore", "sgtty", "shadow", "spawn"),
        *("stab", "strings", "stropts", "syscall", "sysexits", "syslog", "tar", "termio"),
        *("termios", "thread_db", "trace", "ttyent", "ucontext", "ulimit", "unctrl", "unistd"),
        *("utime", "utmp", "utmpx", "values", "wait", "wordexp", "xlocale"),
        # of this export
        *("main", "example_main"),
    )
)


def check_name(name: str) -> None:
    """Refuse what cannot be a prefix of symbols, and the name of files.

    Raises:
        ValueError: It says what is expected.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
        raise ValueError(
            f"name: got {name!r}, expected a C identifier in lower case of at most 32 characters"
        )
    if name in WORDS:
        raise ValueError(f"name: got {name!r}, a word of C; choose another")
    if name in _HEADERS:
        raise ValueError(f"name: got {name!r}, but {name}.h or {name}.c is there; choose another")
