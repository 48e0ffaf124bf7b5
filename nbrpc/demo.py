"""A simulated bench: what the quickstart and the tutorials talk to.

`Bench` behaves like a small laboratory set-up: a source with a voltage and a frequency, a detector
behind a resonator, a heated housing with an alarm, and a stage that takes its time to move. Nothing
here is special to demonstrations: it is written as a service of a user would be. The physics is
made up; the figures are the same for the same ``seed``, apart from the clock.
"""

from __future__ import annotations

import math
import random
import threading
import time
from typing import Any

from nbrpc.service import Service, event, exposed, track

__all__ = ["Bench", "Stage"]

VOLTAGE_RANGE = (0.0, 10.0)
FREQUENCY_RANGE = (0.1, 10.0)
TRAVEL = (0.0, 50.0)

VOLTAGE_ALARM = 9.0
"""Above so many volts a setting is accepted and raises an alarm."""

RESONANCE, LINE_WIDTH = 3.2, 0.25
"""Centre and full width at half maximum of the resonator, in kHz: inside a sweep from 0 to 5."""

SAMPLE_RATE = 40_000.0
"""Samples a second; twice the highest frequency would be too few, four times shows it well."""

HEATER_PERIOD = 3.0
"""Seconds from one switching of the heater to the next, so that an alarm comes about as often."""

REARM = 0.5
"""Degrees below the limit at which the alarm is ready again; the noise is far smaller."""

TICK = 0.05
DWELL = 0.02
STAGE_SPEED = 20.0
MAXIMUM_POINTS = 1_000_000


def _within(name: str, value: float, limits: tuple[float, float], unit: str) -> float:
    low, high = limits
    number = float(value)
    if not low <= number <= high:  # not-a-number fails as well
        message = f"{name} is {low:g} to {high:g} {unit}, not {number:g} {unit}"
        raise ValueError(message)
    return number


def _count(name: str, number: int, least: int = 1) -> int:
    if not isinstance(number, int):
        raise TypeError(f"{name} is a whole number, not {number!r}")
    if not least <= number <= MAXIMUM_POINTS:
        raise ValueError(f"{name} is {least} to {MAXIMUM_POINTS:,}, not {number:,}")
    return number


class Stage:
    """A linear stage with 50 mm of travel that moves at 20 mm/s."""

    def __init__(self) -> None:
        self._position = 0.0
        self._moving = False

    @property
    @exposed
    def position(self) -> float:
        """Where the stage is, in mm."""
        return self._position

    @property
    @exposed
    def moving(self) -> bool:
        """Whether a move is under way."""
        return self._moving

    @exposed
    async def move(self, to: float) -> float:
        """Move the stage and return its position, in mm, once it has arrived.

        Cancelling the call stops the stage where it is.

        Parameters
        ----------
        to
            Target in mm, 0 to 50.

        Raises
        ------
        ValueError
            The target is outside the travel; the stage has not moved.
        RuntimeError
            Another move is under way; it goes on.
        """
        import asyncio

        target = _within("position", to, TRAVEL, "mm")
        if self._moving:
            raise RuntimeError("the stage is moving: wait until that move is done, or cancel it")
        self._moving = True
        try:
            step = STAGE_SPEED * DWELL
            while self._position != target:
                await asyncio.sleep(DWELL)
                distance = target - self._position
                self._position = (
                    target
                    if abs(distance) <= step
                    else self._position + math.copysign(step, distance)
                )
        finally:
            self._moving = False
        return self._position


class Bench(Service):
    """A simulated measuring bench.

    ``voltage`` and ``frequency`` set the source, ``temperature`` drifts, ``sweep`` and ``read``
    measure at once, ``scan`` takes its time, ``stage`` moves. ``alarm`` and ``reading`` are events.

    Parameters
    ----------
    seed
        Where the noise starts.

    Notes
    -----
    Alarms and readings come from one thread, which runs while somebody is connected.
    """

    alarm = event(doc="A sentence: the housing is too hot (about every 3 s), or the voltage high.")
    reading = event(
        doc="(time, value), 20 times a second: seconds since the start, and the detector's volts."
    )

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self._noise_source = random.Random(seed)
        self._started = time.monotonic()
        self._voltage = 1.0
        self._frequency = 1.0
        self._temperature_limit = 37.0
        self._stage = Stage()
        # Guards the two below: connections come and go on threads of the server.
        self._connections_lock = threading.Lock()
        self._connections = 0
        self._stop: threading.Event | None = None

    def on_connect(self, conn: Any) -> None:
        """Start the bench's own thread for the first who connects."""
        super().on_connect(conn)
        with self._connections_lock:
            self._connections += 1
            if self._stop is None:
                self._stop = threading.Event()
                threading.Thread(
                    target=self._run, args=(self._stop,), name="bench", daemon=True
                ).start()

    def on_disconnect(self, conn: Any) -> None:
        """Let that thread end once nobody is connected."""
        super().on_disconnect(conn)
        with self._connections_lock:
            self._connections -= 1
            if self._connections == 0 and self._stop is not None:
                self._stop.set()
                self._stop = None

    @property
    @exposed
    def voltage(self) -> float:
        """Voltage of the source, 0 to 10 V; above 9 V an alarm is raised."""
        return self._voltage

    @voltage.setter
    def voltage(self, volts: float) -> None:
        self._voltage = _within("voltage", volts, VOLTAGE_RANGE, "V")
        if self._voltage > VOLTAGE_ALARM:
            self.alarm.emit(
                f"high voltage: {self._voltage:.1f} V is above {VOLTAGE_ALARM:.1f} V, lower it"
            )

    @property
    @exposed
    def frequency(self) -> float:
        """Frequency of the source, 0.1 to 10 kHz; the resonator answers near 3.2 kHz."""
        return self._frequency

    @frequency.setter
    def frequency(self, kilohertz: float) -> None:
        self._frequency = _within("frequency", kilohertz, FREQUENCY_RANGE, "kHz")

    @property
    @exposed
    def temperature(self) -> float:
        """Temperature of the housing in °C: drifts, follows the heater, rises with the voltage."""
        elapsed = self._elapsed()
        drift = 0.4 * math.sin(elapsed / 60.0)
        heater = 1.5 * math.sin(2.0 * math.pi * elapsed / HEATER_PERIOD)
        return 36.5 + drift + heater + 0.015 * self._voltage**2 + self._noise(0.02)

    @property
    @exposed
    def temperature_limit(self) -> float:
        """Temperature in °C above which an alarm is raised, -50 to 150."""
        return self._temperature_limit

    @temperature_limit.setter
    def temperature_limit(self, degrees: float) -> None:
        self._temperature_limit = _within("temperature_limit", degrees, (-50.0, 150.0), "°C")

    @property
    @exposed
    def sample_rate(self) -> float:
        """Samples a second that `read` takes."""
        return SAMPLE_RATE

    @property
    @exposed
    def stage(self) -> Stage:
        """The stage under the sample."""
        return self._stage

    @exposed
    def scan(self, points: int = 100) -> list[float]:
        """Measure slowly, point by point, from 0 to 5 kHz; about 20 ms a point, with progress.

        Parameters
        ----------
        points
            How many points to take, at most 1,000,000.

        Returns
        -------
        list of float
            The detector's volts at each point.

        Raises
        ------
        ValueError
            The number of points is out of range; nothing was measured.
        """
        values = []
        last = max(1, _count("points", points) - 1)
        for index in track(range(points), total=points, text="scanning"):
            time.sleep(DWELL)
            values.append(self._detector(5.0 * index / last))
        return values

    @exposed
    def sweep(self, start: float, stop: float, points: int = 201) -> Any:
        """Measure the resonator over a range of frequencies, at once.

        Parameters
        ----------
        start, stop
            First and last frequency in kHz, in either order.
        points
            How many points to take, 2 to 1,000,000.

        Returns
        -------
        numpy.ndarray or list
            The detector's volts, one for each frequency; a list where numpy is not installed.

        Raises
        ------
        ValueError
            The number of points is out of range.
        """
        step = (float(stop) - float(start)) / (_count("points", points, 2) - 1)
        return _as_array([self._detector(start + step * index) for index in range(points)])

    @exposed
    def read(self, samples: int = 4096) -> Any:
        """Sample the detector's waveform: the source, some mains hum, and noise.

        Parameters
        ----------
        samples
            How many samples to take, at most 1,000,000.

        Returns
        -------
        numpy.ndarray or list
            Volts, one for each sample; a list where numpy is not installed.

        Raises
        ------
        ValueError
            The number of samples is out of range.
        """
        tone = 2.0 * math.pi * self._frequency * 1000.0 / SAMPLE_RATE
        hum = 2.0 * math.pi * 50.0 / SAMPLE_RATE
        amplitude = self._voltage * (0.1 + _response(self._frequency))
        return _as_array(
            [
                amplitude * math.sin(tone * index)
                + 0.05 * math.sin(hum * index)
                + self._noise(0.02)
                for index in range(_count("samples", samples))
            ]
        )

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _noise(self, size: float) -> float:
        # Two draws make a triangle, which is near enough to a bell; random() alone may be called
        # from any thread, gauss() may not.
        draw = self._noise_source.random
        return size * (draw() + draw() - 1.0)

    def _detector(self, kilohertz: float) -> float:
        return self._voltage * _response(kilohertz) + self._noise(0.02)

    def _run(self, stop: threading.Event) -> None:
        armed = True
        while not stop.wait(TICK):
            self.reading.emit(self._elapsed(), self._detector(self._frequency))
            temperature, limit = self.temperature, self._temperature_limit
            if armed and temperature > limit:
                self.alarm.emit(f"too hot: {temperature:.2f} °C is above {limit:.2f} °C")
                armed = False
            elif temperature < limit - REARM:
                armed = True


def _response(kilohertz: float) -> float:
    """Give the resonator's answer, 1 at its centre: a Lorentzian line."""
    return 1.0 / (1.0 + ((kilohertz - RESONANCE) / (LINE_WIDTH / 2.0)) ** 2)


def _as_array(values: list[float]) -> Any:
    try:
        import numpy as np
    except ImportError:
        return values
    return np.array(values)
