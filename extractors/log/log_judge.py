"""Which lines of a log tell of an error, a warning or a problem: not those that count none, or measure one.

Words that only look so are taken out of a line first: `0 errors`, `mean error: 0.01`, `DIIS Error 1.0e-3`,
`error.log`, `--error=`, `error propagation`. What is left must say it as programs do: with a label, a count above
0, or a sentence.
"""

from __future__ import annotations

import re

MAX_KNOWN = 20_000  # lines whose kind is remembered
DIGITS = bytes.maketrans(b"23456789", b"11111111")
NUMBER = r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eEdD][-+]?\d))(?:[eEdD][-+]?\d{1,3})?"
MEASURED = (  # words before an error that is a number
    "mean|standard|std|rms|rmse|root|square|squared|absolute|abs|relative|rel|max|maximum|min|minimum|average|"
    "tolerance|for|"
    "avg|median|total|numerical|truncation|rounding|round-off|roundoff|approximation|estimated|estimation|"
    "fitting|fit|prediction|training|train|validation|val|testing|test|reconstruction|quantization|"
    "discretization|integration|convergence|residual|systematic|statistical|experimental|measurement|diis|scf|"
    "gradient|energy|density|phase|pointing|tracking|localization|position|positional|of|sampling|probable|"
    "percent|percentage|fractional|l1|l2|mae|mse|sigma|bit|generalization|oob|cv|registration|alignment|drift|"
    "commutator|orbital|wavefunction|force|pressure|temperature|velocity|mass|this|the|each|their|its|local|"
    "global|final|current|largest|smallest|typical|expected|interpolation|extrapolation|basis|trial|"
    "photometric|astrometric|flux|calibration|timing"
)
HARMLESS = re.compile(
    r"(?:\b(?:no|zero|without(?: any)?|free of|any|0+)\s+(?:\w+\s+)?(?:errors?|warnings?|"
    r"fatal)\b(?!\s*\d*\.\d))"
    r"|(?:\b(?:fatal )?(?:errors?|warnings?)\b(?: (?:count|found|total|detected|"
    r"encountered))?\s*[:=]+\s*(?:0+|none|"
    r"no|false|nil|null|\"\"|''|\[\])(?![\w.]))"
    rf"|(?:\b(?:errors?)\b\s*(?:\([^()]*\)|\[[^\[\]]*\])?\s*(?:[:=<>~]+|is|was|\+/-)?\s*{NUMBER}(?![\w.]))"
    r"|(?:\berrors?\s*=\s*[^\s\"'])"
    rf"|(?:\berrors?\b(?:\s+\w+){{1,4}}\s*[:=]?\s*{NUMBER}\s*[a-z%/]{{0,6}}\s*$)"
    rf"|(?:\b(?:{MEASURED})[ \t_-]+errors?\b)"
    r"|(?:\b(?:errors?|warnings?)[ \t-]+(?:propagat\w*|bars?|rates?|estimat\w*|analys\w*|models?|"
    r"functions?|vectors?|matri\w*|norms?|"
    r"toleran\w*|thresholds?|limits?|bounds?|budgets?|correct\w*|handl\w*|check\w*|detection|recovery|"
    r"messages?|logs?|logging|"
    r"files?|outputs?|streams?|reporting|counts?|counters?|levels?|control|terms?|bands?|metrics?|per|"
    r"distribution|covariance|"
    r"probabilit\w*|profiles?|margins?|ellips\w*|variances?|percentage|codes? 0+|flags?|suppressed|"
    r"disabled|enabled)\b)"
    r"|(?:(?<!\S)--?[\w-]*(?:error|warn|fatal)[\w-]*(?:=\S*)?)"
    r"|(?:\S*[/\\]\S*(?:error|warn|fatal)[^\s:,;]*(?<![:.,;]))"
    r"|(?:\b[\w.-]*(?:error|warn|fatal)\w*\.(?:log|txt|out|err|py|c|h|cpp|csv|dat|gz|json|html?|f90|pm|js|"
    r"o|so)\b)"
    r"|(?:\b\w+_(?:errors?|warn(?:ing)?s?|fatal)\b|\b(?:errors?|warn(?:ing)?s?|fatal)_\w+)"
    r"|(?:\bnon-?fatal\b)",
    re.IGNORECASE,
)
CAUSES = (
    r"(?:input/output|i/o|bus|internal|run-?time|syntax|cuda|mpi|system|disk|network|connection|"
    r"communication|compil\w+|link\w*|"
    r"pars\w+|protocol|hardware|ecc|unknown|unexpected|unhandled|uncaught|unrecoverable|usage|remote|"
    r"server|database|memory|"
    r"allocation|assertion|import|ssl|tls|dns|https?|licen[cs]e|quota|format|checksum|crc|lustre|nfs|rpc|"
    r"kernel|abort\w*|"
    r"exit\w* with|fail\w* with|due to|caused by|because of|fatal)"
)
ERROR = re.compile(
    r"(?:^|[^\w.])(?:ERRORS?|FATAL|CRITICAL|SEVERE)\b(?!\s*=)"
    r"|\b(?i:error)\b\s*(?:\([^()]*\)|\[[^\[\]]*\])?\s*(?::|!|- )"
    r"|(?:^|[^\w])[\[(<|](?i:error|err|fatal)[\])>|]"
    r"|\b(?i:level)=(?i:error|fatal|panic)\b"
    r"|\b[1-9]\d* (?i:(?:\w+ )?errors?)\b"
    r"|(?i:\berrors?\b\s*[:=]+\s*[1-9]\d*\s*$)"
    r"|^\W*(?i:(?:(?:an?|the|some|there (?:was|were)) )?(?:[\w/-]+ ){0,2}errors?) (?i:occur\w*|"
    r"encounter\w*|detected|has|have|was|"
    r"were|while|when|during|reading|writing|opening|loading|creating|from|code|number|status|"
    r"terminat\w*|exit\w*|"
    r"parsing|connecting|executing|allocating|running|#?\d+)\b"
    r"|(?i:\berror (?:in|on|at) (?:the )?(?:routine|function|subroutine|module|line|file|step|input|call|process|"
    r"thread|task|job|command|script|node|rank|device|host|server|[\w.]+ ?\(|[`'\"]))"
    rf"|(?i:\b{CAUSES} (?:an? )?errors?\b)"
    r"|(?i:\berror termination\b|\bexited on error\b|\berror occurred\b|\*\*\* error\b|\berror \d+\b)"
    r"|(?i:\bfatal\b)|\bforrtl: severe\b"
    r"|(?:^|[\s.:(\"'])[A-Z]\w*(?:Error|Exception)(?=:|\s*$|\()"
)
WARNING = re.compile(
    r"(?:^|[^\w.])WARN(?:ING)?S?\b(?!\s*=)|\b(?i:warn(?:ing)?)\b\s*(?:\([^()]*\)|\[[^\[\]]*\])?\s*(?::|!|- )"
    r"|[\[(<|](?i:warn(?:ing)?)[\])>|]|\b(?i:level)=(?i:warn(?:ing)?)\b|\b[1-9]\d* (?i:(?:\w+ )?warnings?)\b"
    r"|^\W*(?i:warn(?:ing)?)\b|\b[A-Z]\w*Warning(?=:|\s*$)"
)
# words before a problem by which none is told: a condition, a wish to prevent it, or what a program would do
SUPPOSED = re.compile(
    r"\b(?:if|unless|avoid\w*|prevent\w*|in case of|may|might|could|would|can(?!['n])|should|not|never|"
    r"without|no|0|handl\w+|ignor\w+|"
    r"test\w*|check\w*|against|detect(?:s|ion)?|when)\b[^.:;]{0,40}$",
    re.IGNORECASE,
)
PROBLEMS = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("time_limit", r"due to time limit"),
        (
            "out_of_memory",
            (
                r"oom[-_]kill|\bout of (?:gpu |cuda |host )?memory\b(?!\s*[:=]\s*(?:0|no|false))|"
                r"\bmemoryerror\b|std::bad_alloc|"
                r"memory limit (?:was )?(?:exceeded|reached)|exceed\w*(?: \w+){0,3} memory limit|"
                r"exceeded (?:job|step) mem|"
                r"cannot allocate memory|outofmemoryerror"
            ),
        ),
        ("segmentation_fault", r"\bsegmentation fault\b|\bsigsegv\b"),
        ("bus_error", r"\bbus error\b(?! rate)"),
        ("floating_point_exception", r"\bfloating point exception\b|\bsigfpe\b"),
        ("core_dumped", r"\bcore dumped\b"),
        ("mpi_abort", r"\bmpi_abort\b"),
        ("python_traceback", r"\btraceback \(most recent"),
        ("no_space", r"\bno space left on device\b"),
        ("quota_exceeded", r"\bdisk quota exceeded\b"),
        ("command_not_found", r"\bcommand not found\b"),
        ("permission_denied", r"\bpermission denied\b"),
        ("missing_file", r"\bno such file or directory\b"),
        ("missing_module", r"unable to locate a modulefile|these module\(s\)|\bmodulenotfounderror\b"),
        ("missing_library", r"cannot open shared object"),
        ("stale_file_handle", r"\bstale file handle\b"),
        ("io_error", r"\binput/output error\b"),
        ("node_failure", r"\bnode failure\b"),
        ("network", r"\btransport endpoint is not connected\b"),
        ("gpu_error", r"\bcuda[ _]error\b(?!s?\s*[:=]?\s*0\b)"),
    )
)
PROBLEM_WORDS = (
    "due to time limit", "oom-kill", "oom_kill", "memory", "std::bad_alloc", "memoryerror", "sigsegv",
    "segmentation fault", "bus error", "point exception", "sigfpe", "core dumped", "mpi_abort",
    "traceback (most recent", "no space left on device", "disk quota exceeded", "command not found",
    "permission denied", "no such file or directory", "modulefile", "these module(s)", "modulenotfounderror",
    "cannot open shared object", "stale file handle", "input/output error", "node failure",
    "transport endpoint", "cuda error", "cuda_error",
)  # fmt: skip
"""What lines with a problem have, in lower case."""


class Judge:
    """Tells what lines say, and remembers those that differ in no more than digits above 1."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}

    def kind(self, raw: bytes, shown: str = "") -> str:
        """Return `error`, `warning`, or an empty text."""
        key = raw.translate(DIGITS)
        found = self._known.get(key)
        if found is None:
            found = kind_of(shown or raw.decode("utf-8", "replace"))
            if len(self._known) < MAX_KNOWN:
                self._known[key] = found
        return found


def kind_of(line: str) -> str:
    """Return what a line tells of: `error`, `warning`, or an empty text."""
    left = HARMLESS.sub(" ", line)
    return "error" if ERROR.search(left) else "warning" if WARNING.search(left) else ""


def problems(line: str) -> list[str]:
    """Return what went wrong, as far as a line says it."""
    found = []
    for name, pattern in PROBLEMS:
        match = pattern.search(line)
        if match and not SUPPOSED.search(line[max(0, match.start() - 60) : match.start()]):
            found.append(name)
    return found
