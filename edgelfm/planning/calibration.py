"""How fast would it be, by what was measured on this very machine? Pure arithmetic over records.

Decode: a token takes `bytes / bandwidth + fixed * layers` seconds. Both unknowns are fitted to the records. Prefill is
bound by arithmetic: two operations per parameter and token, at a pace that each family of quantizations has of its own.
Knows nothing of memory, models and what people want; where no record speaks, there is no answer.

Ranges are meant to hold the true speed nine times out of ten.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ..decision import Grade
from ..units import format_rate
from .fit import Fit, Observation, fit
from .plan import SpeedEstimate
from .records import Computed, Phase, Record, Timing

#: Two runs of one configuration on one machine agree within this, as heat and neighbours come and go.
OWN_RUN = 0.10
#: No prediction is promised to be nearer than this, nor one from a single run nearer than `ONE_RUN`.
PREDICTED, ONE_RUN = 0.10, 0.25
PREDICTED_PREFILL = 0.15
#: Standard deviation, as a share, of a run about the straight line: kernels of one quantization are better than those
#: of another. On a 2-core EPYC, Q4_0, Q4_K_M and Q8_0 come to 0.85, 0.84 and 0.80 of the read bandwidth; on a 2-core
#: Xeon that computes slower than it reads, to 0.33, 0.60 and 0.53. `OTHER_KERNELS` is of one nobody ran here: on that
#: Xeon and on the EPYC of `cores`, whose one thread reads 14 GB/s in Q4_0, 8 in Q4_1, 19 in Q4_K_M and Q8_0, 25 in F16,
#: the bytes a second of a run in Q4_0 miss those of the others by a factor of 1.3 to 1.8.
ABOUT_THE_LINE, OTHER_KERNELS = 0.05, 0.45
OTHER_BUILD = 0.10  # what another version of the runtime may change
OTHER_LOAD = 0.25  # what other programs may change that run beside it
#: Times more or fewer bytes for a token than depths of context make. Another program made the weights then, and called
#: the quantization by the same name: the q4 of one exporter keeps embeddings in 16 bits, that of another does not.
OTHER_FILE = 1.3
NINE_IN_TEN = 1.645  # standard deviations of a normal distribution
WIDEST = 1.0  # a range from half to twice says all that can be said


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be predicted."""

    model: str  # `records.shape`, empty where the architecture is not published
    quantization: str
    layers: int
    bytes_per_token: int  # at `speed.DEPTH`
    parameters: int  # that take part in one token, 0 where not known


@dataclass(frozen=True, slots=True)
class Evidence:
    """The records that speak about one runtime on one device of this host. Each network and quantization once."""

    records: tuple[Record, ...] = ()
    build: str = ""  # of the runtime that is installed now
    cores_taken: int = 0  # by other programs now

    def only(self, wanted: Callable[[Record], bool]) -> Evidence:
        """The records that are `wanted`."""
        return replace(self, records=tuple(one for one in self.records if wanted(one)))

    def same(self, subject: Subject) -> Record | None:
        """The record of this very network and quantization."""
        wanted = (subject.model, subject.quantization)
        return next((one for one in self.records if (one.model, one.quantization) == wanted), None)

    def nearest(self, subject: Subject) -> Record | None:
        """The record of the network that reads most nearly as many bytes for a token."""
        size = math.log(max(1, subject.bytes_per_token))
        return min(self.records, key=lambda one: abs(math.log(one.bytes_per_token) - size), default=None)

    def grade(self, record: Record) -> Grade:
        """How well a record of the subject itself is known to hold now."""
        same = record.build == self.build and record.cores_taken == self.cores_taken
        return "measured" if same else "calibrated"

    def decode(self, subject: Subject, threads: int | None = None) -> SpeedEstimate | None:
        """Tokens per second while writing, None if nothing here tells. `threads` None is as many as were best."""
        known = [(one, seconds) for one in self.records if (seconds := decode_seconds(one, threads)) is not None]
        if not known or subject.bytes_per_token < 1 or subject.layers < 1:
            return None
        fitted = fit([self._observation(one, seconds) for one, seconds in known])
        own = next(((one, seconds) for one, seconds in known if one is self.same(subject)), None)
        if own is not None:
            return self._measured_decode(subject, *own, fitted)
        seconds, apart = self._between(subject, known, fitted)
        unrest = statistics.median(_spread(one.decode) for one, _ in known)  # a machine this restless stays so
        spread = math.hypot(fitted.doubt(subject.bytes_per_token, subject.layers), ABOUT_THE_LINE, unrest, apart)
        least = ONE_RUN if len(known) == 1 else PREDICTED
        return _around(1 / seconds, max(least, NINE_IN_TEN * spread), _fit_reason(fitted, known, subject))

    def _between(self, subject: Subject, known: Sequence[tuple[Record, float]], fitted: Fit) -> tuple[float, float]:
        """Seconds per token, and a standard deviation as a share for what the kernels of a quantization cost.

        The line through all runs knows best what a layer costs, runs of the same quantization what its kernels do: on a
        processor that computes slower than its memory reads, those differ by up to 1.8 times. So the answer lies
        half-way between the two.
        """
        line = fitted.seconds(subject.bytes_per_token, subject.layers)
        family = kernel_family(subject.quantization)
        alike = [(one, seconds) for one, seconds in known if kernel_family(one.quantization) == family]
        if not alike:
            return line, OTHER_KERNELS
        own = fit([self._observation(one, seconds) for one, seconds in alike])
        other = own.seconds(subject.bytes_per_token, subject.layers)
        return math.sqrt(line * other), abs(math.log(line / other)) / 2

    def _observation(self, record: Record, seconds: float) -> Observation:
        return Observation(record.bytes_per_token, record.layers, seconds, self._doubt(record, record.decode))

    def prefill(self, subject: Subject, threads: int | None = None, micro_batch: int = 0) -> SpeedEstimate | None:
        """Tokens per second while reading a prompt, None if no run of this family of quantizations tells."""
        family = kernel_family(subject.quantization)
        known = [
            (one, seconds)
            for one in self.records
            if kernel_family(one.quantization) == family
            if (seconds := prefill_seconds(one, threads, micro_batch)) is not None
        ]
        own = next(((one, seconds) for one, seconds in known if one is self.same(subject)), None)
        if own is not None:
            record, seconds = own
            reason = f"{1 / seconds:.0f} tokens/s over a prompt of {record.prompt} tokens{_when(record)}"
            return self._own(record, seconds, record.prefill, reason)
        if not known or subject.parameters < 1:
            return None
        paces = [math.log(2 * one.parameters / seconds) for one, seconds in known]
        pace = sum(paces) / len(paces)
        doubts = [math.hypot(self._doubt(one, one.prefill), _spread(one.prefill)) for one, _ in known]
        apart = math.sqrt(sum((one - pace) ** 2 for one in paces) / max(1, len(paces) - 1))
        spread = max(apart, max(doubts))
        least = ONE_RUN if len(known) == 1 else PREDICTED_PREFILL
        reason = f"{math.exp(pace) / 1e9:.0f} GFLOP/s in {family}, by {_runs(known)}"
        return _around(math.exp(pace) / (2 * subject.parameters), max(least, NINE_IN_TEN * spread), reason)

    def _measured_decode(self, subject: Subject, record: Record, seconds: float, fitted: Fit) -> SpeedEstimate:
        # The keys and values of a deeper or shallower context than the one it was measured at are read as well.
        at_depth = seconds + (subject.bytes_per_token - record.bytes_per_token) * fitted.seconds_per_byte
        at_depth = max(at_depth, seconds / 2)
        reason = f"{1 / seconds:.1f} tokens/s after {record.depth} tokens of context{_when(record)}"
        told = self._own(record, at_depth, record.decode, reason)
        if 1 / OTHER_FILE <= subject.bytes_per_token / record.bytes_per_token <= OTHER_FILE:
            return told
        sizes = (one.bytes_per_token / 1e6 for one in (record, subject))
        read = told.reason + "; of {:.0f} MB a token, where {:.0f} are read".format(*sizes)
        return _around(1 / at_depth, NINE_IN_TEN * math.hypot(OTHER_KERNELS, abs(1 - at_depth / seconds)), read)

    def _own(self, record: Record, seconds: float, timing: Timing, reason: str) -> SpeedEstimate:
        grade = self.grade(record)
        least = OWN_RUN
        if grade != "measured":
            least = max(OWN_RUN, NINE_IN_TEN * self._doubt(record, timing))
            reason += f"; {self._difference(record)}"
        slow, fast = max(1 + least, timing.high / timing.seconds), max(1 + least, timing.seconds / timing.low)
        return SpeedEstimate(1 / (seconds * slow), fast / seconds, grade, reason)

    def _difference(self, record: Record) -> str:
        if record.cores_taken != self.cores_taken:
            return f"other programs took {_cores(record.cores_taken)} then, now {_cores(self.cores_taken)}"
        return f"with build {record.build}, now it is {self.build}"

    def _doubt(self, record: Record, timing: Timing) -> float:
        """Standard deviation, as a share, with which the median of a record tells what happens now."""
        # The median of n runs varies by 1.25 / sqrt(n) of what one run does, if they vary as a normal distribution.
        doubts = [ABOUT_THE_LINE, 1.25 * _spread(timing) / math.sqrt(min(max(timing.runs, 1), 1000))]
        if record.build != self.build:
            doubts.append(OTHER_BUILD)
        if record.cores_taken != self.cores_taken:
            doubts.append(OTHER_LOAD)
        return math.hypot(*doubts)


def evidence(
    records: Iterable[Record], *, host: str, backend: str, build: str, device: Computed, cores_taken: int = 0
) -> Evidence:
    """Pick the records that apply. Of several of one network and quantization, the one most like the present.

    That is the one with the most nearly as many cores taken, then of this build, then the latest.
    """
    mine = [one for one in records if (one.host, one.backend, one.device) == (host, backend, device) and one.plausible]
    mine.sort(key=lambda one: one.measured_at, reverse=True)
    mine.sort(key=lambda one: (abs(one.cores_taken - cores_taken), one.build != build))
    first: dict[tuple[str, str], Record] = {}
    for one in mine:
        first.setdefault((one.model, one.quantization), one)
    return Evidence(tuple(first.values()), build, cores_taken)


def kernel_family(quantization: str) -> str:
    """`Q4_K` for `Q4_K_M` and `Q4_K_S`: quantizations whose weights are computed with by the same kernels."""
    return quantization[:-2] if quantization.endswith(("_K_S", "_K_M", "_K_L")) else quantization


def decode_seconds(record: Record, threads: int | None) -> float | None:
    """Seconds per token with that many threads, None if they were not tried. None is as many as were best."""
    if threads is None or threads == record.threads or record.device == "gpu":
        return record.decode.seconds
    return _scaled(record, "decode", record.decode.seconds, "threads", str(record.threads), str(threads))


def prefill_seconds(record: Record, threads: int | None, micro_batch: int) -> float | None:
    """Seconds per token of a prompt. A micro-batch that was not tried is taken to make little difference."""
    seconds: float | None = record.prefill.seconds
    if threads is not None and threads != record.threads_prefill and record.device == "cpu":
        seconds = _scaled(
            record, "prefill", record.prefill.seconds, "threads_prefill", str(record.threads_prefill), str(threads)
        )
    if seconds is None or not micro_batch or micro_batch == record.micro_batch:
        return seconds
    scaled = _scaled(record, "prefill", seconds, "micro_batch", str(record.micro_batch), str(micro_batch))
    return scaled if scaled is not None else seconds


def _scaled(record: Record, phase: Phase, seconds: float, setting: str, chosen: str, other: str) -> float | None:
    """`seconds` times what another value of a setting costs beside the chosen one, as both were tried."""
    base, tried = record.seconds_with(phase, setting, chosen), record.seconds_with(phase, setting, other)
    return seconds * tried / base if base is not None and tried is not None else None


def _spread(timing: Timing) -> float:
    """Standard deviation of one run, as a share: the quartiles of a normal distribution lie 0.6745 of it out."""
    return (timing.high - timing.low) / (timing.high + timing.low) / 0.6745


def _around(middle: float, width: float, reason: str) -> SpeedEstimate:
    factor = 1 + min(width, WIDEST)
    return SpeedEstimate(middle / factor, middle * factor, "calibrated", reason)


def _fit_reason(fitted: Fit, known: Sequence[tuple[Record, float]], subject: Subject) -> str:
    pace = f"{format_rate(1 / fitted.seconds_per_byte)} and {fitted.seconds_per_layer * 1e3:.2f} ms a layer"
    return f"{subject.bytes_per_token / 1e6:.0f} MB read per token at {pace}, by {_runs(known)}"


def _runs(known: Sequence[tuple[Record, float]]) -> str:
    return "one run here" if len(known) == 1 else f"{len(known)} runs here"


def _when(record: Record) -> str:
    day = record.measured_at[:10]
    return (f" on {day}" if day else "") + while_taken(record)


def while_taken(record: Record) -> str:
    """What else the machine did while it was measured, in words to go on with; nothing on a quiet one."""
    if not record.cores_taken:
        return ""
    return f", while other programs took {_cores(record.cores_taken)}"


def _cores(count: int) -> str:
    return "no core" if not count else "1 core" if count == 1 else f"{count} cores"
