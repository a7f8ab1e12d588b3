"""What every command has in common: --config and MAESCAN_* give its options too, -v says more, Ctrl-C and a closed
pipe end in order, and its help has a panel and an example."""

from __future__ import annotations

import copy
import functools
import inspect
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, get_args, get_type_hints

import typer
from typer.core import TyperCommand
from typer.models import ArgumentInfo, CommandInfo, OptionInfo

from maescan.cli.examples import EXAMPLES
from maescan.content import read_text
from maescan.errors import ConfigError, DeviceLostError
from maescan.progress import closed

LOST = 6
"""Exit code of a command whose GPU is lost."""

PREFIX = "MAESCAN_"
OTHERS = frozenset(
    f"{PREFIX}{name}"
    for names in (
        "BENCH_ROUNDS CONFIG CUDA CUDA_ARCHITECTURES DATA",
        "DEBUG FAULTS FUZZ ISA KEY_PASSWORD KILLS MAX_VOXELS PICK",
        "SAVE_INSTRUCTIONS STRICT TEST_KERNELS TREES TRUSTED_KEYS",
    )
    for name in names.split()
)
"""What else is read of the environment, by maescan, its build and its tests: no option of every command has these."""

Options = Mapping[str, str]
"""An option as it is typed, without dashes -> the parameter that takes it."""
Known = Callable[[], Mapping[str, Options]]
"""Every command's options; they are asked for only where a file or the environment names some."""


def apply(commands: list[CommandInfo], known: Known) -> None:
    """Gives the commands what all have in common, once."""
    for info in commands:
        if hasattr(info.callback, "bare"):
            continue
        name = name_of(info)
        panel, example = EXAMPLES.get(name, ("More", ""))
        info.rich_help_panel = panel
        info.epilog = info.epilog or (f"Example: {example}" if example else None)
        info.cls = Command
        if info.callback is not None:
            info.callback = _conventional(name, info.callback, known)


def name_of(info: CommandInfo) -> str:
    """As it is typed."""
    return info.name or (info.callback.__name__ if info.callback else "").replace("_", "-")


def options_of(info: CommandInfo) -> Options:
    """The options of a command."""
    callback = getattr(info.callback, "bare", info.callback)
    return {typed: name for name, typed, _ in _given(callback)} if callback else {}


@functools.cache  # they are wanted three times of each command, and take a tenth of a start
def _hints(callback: Callable[..., object]) -> Mapping[str, object]:
    return get_type_hints(callback, include_extras=True)


def _given(callback: Callable[..., object]) -> Iterator[tuple[str, str, OptionInfo]]:
    """Parameter, what is typed, and Typer's facts, of each option."""
    hints = _hints(callback)
    for name in inspect.signature(callback).parameters:
        for fact in get_args(hints[name])[1:]:
            if isinstance(fact, OptionInfo):
                long = [text for text in declared(fact) if text.startswith("--")]
                yield name, long[0].partition("/")[0][2:] if long else name.replace("_", "-"), fact


def declared(fact: OptionInfo) -> list[str]:
    """How an option is typed, where that is said. (Typer has the first of these for a default.)"""
    return [text for text in (fact.default, *(fact.param_decls or ())) if isinstance(text, str)]


def _conventional(name: str, callback: Callable[..., object], known: Known) -> Callable[..., None]:
    hints = {parameter: _called(parameter, hint) for parameter, hint in _hints(callback).items()}
    given = list(_given(callback))
    for parameter, typed, fact in given:
        named = copy.copy(fact)
        named.envvar, named.show_envvar = variables(name, typed), False
        hints[parameter] = Annotated[get_args(hints[parameter])[0], named]
    own = [p.replace(annotation=hints[p.name]) for p in inspect.signature(callback).parameters.values()]
    more = [] if any(typed == "config" for _, typed, _ in given) else [_config(name, known)]

    @functools.wraps(callback)
    def call(**values: object) -> None:
        values.pop("config_file", None)
        verbose, start = values.pop("verbose"), time.perf_counter()
        check_environment(known)
        if verbose:
            os.environ["MAESCAN_DEBUG"] = "1"
        try:
            callback(**values)
        except KeyboardInterrupt as error:
            raise SystemExit(130) from error
        except BrokenPipeError:
            closed()
        except EOFError as error:  # Typer takes it for a Ctrl-D and says no more than "Aborted."
            raise RuntimeError(f"EOFError: {error}") from error
        except DeviceLostError as error:  # no input's fault: what starts commands again may start this one
            if os.environ.get("MAESCAN_DEBUG"):
                traceback.print_exc()
            print(f"maescan: {error}", file=sys.stderr)
            raise SystemExit(LOST) from error
        if verbose:
            _say_costs(time.perf_counter() - start)

    parameters = [*(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own), *more, _verbose(name)]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.bare = callback  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def _called(parameter: str, hint: object) -> object:
    """An argument is called in Typer's errors as help calls it: PATHS."""
    kind, *facts = get_args(hint) or (None,)
    if not (facts and isinstance(facts[0], ArgumentInfo)) or facts[0].metavar:
        return hint
    named = copy.copy(facts[0])
    named.metavar = parameter.upper()
    return Annotated[kind, named]


class Command(TyperCommand):
    """Says of a value that does not do which file or variable gave it; of what is typed one sees that."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override,unused-ignore]
        """See click's. Raises ConfigError for a value of a file or a variable, and for an empty path."""
        typed = list(args)
        try:
            rest = super().parse_args(ctx, args)
            _check_paths(typed, _paths(self, ctx.params))
            return rest
        except typer.BadParameter as error:
            if not (given := _given_by(ctx, error.param)):
                raise
            reason = " ".join(error.message.split())
            raise ConfigError(
                f"{given}: {reason}", remedy=f"maescan {ctx.info_name} -h says what it takes"
            ) from error


def _paths(command: Command, values: Mapping[str, object]) -> Iterator[Path]:
    """What was given for paths; older releases of Typer have them as text still."""
    for parameter in command.params:
        value = values.get(parameter.name or "")
        text = "Path" in type(getattr(parameter, "type", None)).__name__
        for one in value if isinstance(value, list | tuple) else (value,):
            if isinstance(one, Path) or (text and isinstance(one, str)):
                yield Path(one)


def _check_paths(typed: list[str], paths: Iterable[Path]) -> None:
    """Raises ConfigError where an empty text was typed for a path: it would be the current folder, which is not what
    a variable that is not set meant."""
    texts = [text.partition("=")[2] if text.startswith("--") and "=" in text else text for text in typed]
    here = sum(path == Path() for path in paths)
    if "" in texts and here > sum(text != "" and Path(text) == Path() for text in texts):
        remedy = "is a variable of the shell not set? the current folder is ."
        raise ConfigError("a path is empty", remedy=remedy)


def _given_by(context: typer.Context, parameter: object) -> str:
    """The file or variable that gave an option, and the option; "" where it was typed."""
    source = context.get_parameter_source(getattr(parameter, "name", None) or "")
    option = (getattr(parameter, "opts", None) or [""])[0]
    if source is not None and source.name == "DEFAULT_MAP":
        return f"{context.params['config_file']}: {option}"
    if source is not None and source.name == "ENVIRONMENT":
        return f"{next(name for name in getattr(parameter, 'envvar', ()) if os.environ.get(name))}: {option}"
    return ""


def variables(command: str, option: str) -> list[str]:
    """The environment's names of an option, of this command and of all that have it."""
    part = option.replace("-", "_").upper()
    own = f"{PREFIX}{command.replace('-', '_').upper()}_{part}"
    return [own] if f"{PREFIX}{part}" in OTHERS else [own, f"{PREFIX}{part}"]


def check_environment(known: Known) -> None:
    """Raises ConfigError for a MAESCAN_ variable that nothing reads: likely a slip, and then an option is not set."""
    asked = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in OTHERS)
    if not asked:
        return
    names = {name for command, options in known().items() for typed in options for name in variables(command, typed)}
    for name in asked:
        if name not in names:
            near = get_close_matches(name, names, 1)
            remedy = f"perhaps {near[0]}? else: unset {name}" if near else f"unset {name}"
            raise ConfigError(f"the environment's {name} is no option of any command", remedy=remedy)


def _config(command: str, known: Known) -> inspect.Parameter:
    def read(context: typer.Context, value: Path | None) -> Path | None:
        if value is not None and not context.resilient_parsing:
            several = {p.name for p in context.command.params if getattr(p, "multiple", False)}
            flags = {p.name for p in context.command.params if getattr(p, "is_flag", False)}
            values = configured(value, command, known())
            context.default_map = {
                name: _as_typed(given, several=name in several, flag=name in flags) for name, given in values.items()
            }
        return value

    fact = typer.Option(
        "--config",
        help="Options from a TOML file: `workers = 4` for all commands, `[score]` for one. What is typed wins.",
        is_eager=True,
        callback=read,
        envvar=[f"{PREFIX}CONFIG"],
        show_envvar=False,
        rich_help_panel="Every command",
    )
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter("config_file", kind, default=None, annotation=Annotated[Path | None, fact])


def _verbose(command: str) -> inspect.Parameter:
    fact = typer.Option(
        "--verbose",
        "-v",
        help="Also say what it cost, and where an error comes from.",
        envvar=variables(command, "verbose"),
        show_envvar=False,
        rich_help_panel="Every command",
    )
    return inspect.Parameter(
        "verbose", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, fact]
    )


def configured(file: Path, command: str, known: Mapping[str, Options]) -> dict[str, object]:
    """What a file says of a command's options, by parameter: its own table goes over what stands for all commands.

    Raises ConfigError for a file that cannot be read, and for a key that no command has."""
    import tomllib

    try:
        values = tomllib.loads(read_text(file))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=file, remedy="check --config") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"is no TOML: {error}", path=file, remedy="mend that line") from error
    tables = {name: part for name, part in values.items() if isinstance(part, dict)}
    common = {name: value for name, value in values.items() if name not in tables}
    every = {typed for options in known.values() for typed in options}
    _check(common, every, file, "no command has an option")
    _check(tables, set(known), file, "there is no command")
    for name, part in tables.items():
        _check(part, set(known[name]), file, f"{name} has no option")
    chosen = {**common, **tables.get(command, {})}
    options = known[command]
    return {
        options[typed]: value
        for typed, value in ((name.replace("_", "-"), value) for name, value in chosen.items())
        if typed in options
    }


def _as_typed(value: object, *, several: bool, flag: bool) -> object:
    """A file's value as the command line would have it: names by commas may be a list, and true is no number."""
    if several:
        return [str(each) for each in value] if isinstance(value, list) else [str(value)]
    if flag and isinstance(value, bool):
        return value
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _check(given: Mapping[str, object], known: set[str], file: Path, words: str) -> None:
    for name in given:
        if name.replace("_", "-") not in known:
            near = get_close_matches(name, known, 1)
            remedy = f"perhaps {near[0]}?" if near else "leave it out"
            raise ConfigError(f"{words} '{name}'", path=file, remedy=remedy)


def _say_costs(seconds: float) -> None:
    import resource

    used = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"took {seconds:.1f} s, at most {used / 2**20:.2f} GB of memory in one process", file=sys.stderr)
