"""The accelerator behind its host link: what a board top puts pins around, and what the simulation runs."""

from amaranth import Module, ResetInserter, Signal
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
        # It goes to every register, so it has the whole cycle for the way.
        reset = Signal()
        m.d.sync += reset.eq(link.reset)
        m.submodules.core = ResetInserter(reset)(core)
        wiring.connect(m, core, link.core)
        m.d.comb += [link.rx.eq(self.rx), self.tx.eq(link.tx)]
        return m
