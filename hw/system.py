"""The accelerator behind its host link: what a board top puts pins around, and what the simulation runs."""

from amaranth import ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import ArrayConfig
from .core import Core
from .link.config import LinkConfig
from .link.link import Link

__all__ = ["System"]


class System(wiring.Component):
    """Core and link.

    Members
    -------
    rx : In(1)
        Line from the host.
    tx : Out(1)
        Line to the host.
    """

    def __init__(self, config: ArrayConfig, link: LinkConfig):
        self._config, self._link = config, link
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        core = Core(self._config)
        m.submodules.link = link = Link(self._config, self._link)
        # The core's reset goes a long way, so it has the whole cycle for that.
        reset = Signal(init=1)
        m.d.sync += reset.eq(link.reset)
        m.domains.core = ClockDomain()
        m.d.comb += [ClockSignal("core").eq(ClockSignal()), ResetSignal("core").eq(reset)]
        m.submodules.core = DomainRenamer("core")(core)
        wiring.connect(m, core, link.core)
        m.d.comb += [link.rx.eq(self.rx), self.tx.eq(link.tx)]
        return m
