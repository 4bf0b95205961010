// What the PLLs have in common: they measure their reference, wait as a PLL does, then multiply. `half` falls and rises
// with the rising edges of `clock`.
`timescale 1ns / 1ps
module pll #(
    parameter MULTIPLY = 1,
    parameter DIVIDE = 1
) (
    input reference, enable,
    output reg clock, half, locked
);
    realtime edge_before, half_period;
    integer edges;

    initial begin
        clock = 0;
        half = 0;
        locked = 0;
        edges = 0;
        half_period = 0;
    end

    always @(posedge reference) begin
        if (edges > 0)
            half_period <= ($realtime - edge_before) * DIVIDE / MULTIPLY / 2;
        edge_before <= $realtime;
        edges <= edges + 1;
        if (edges == 40)
            locked <= enable;
    end

    // It runs before it has locked.
    always begin
        wait (half_period > 0);
        #(half_period) begin
            if (!clock)
                half = ~half;
            clock = ~clock;
        end
    end
endmodule

// iCE40, simple feedback.
module SB_PLL40_CORE #(
    parameter FEEDBACK_PATH = "SIMPLE",
    parameter [3:0] DIVR = 0,
    parameter [6:0] DIVF = 0,
    parameter [2:0] DIVQ = 0,
    parameter [2:0] FILTER_RANGE = 0
) (
    input REFERENCECLK, RESETB, BYPASS,
    output PLLOUTGLOBAL, LOCK
);
    pll #(.MULTIPLY(DIVF + 1), .DIVIDE((DIVR + 1) * (1 << DIVQ)))
        pll (.reference(REFERENCECLK), .enable(RESETB & ~BYPASS), .clock(PLLOUTGLOBAL), .half(), .locked(LOCK));
endmodule

module SB_PLL40_PAD #(
    parameter FEEDBACK_PATH = "SIMPLE",
    parameter [3:0] DIVR = 0,
    parameter [6:0] DIVF = 0,
    parameter [2:0] DIVQ = 0,
    parameter [2:0] FILTER_RANGE = 0
) (
    input PACKAGEPIN, RESETB, BYPASS,
    output PLLOUTGLOBAL, LOCK
);
    pll #(.MULTIPLY(DIVF + 1), .DIVIDE((DIVR + 1) * (1 << DIVQ)))
        pll (.reference(PACKAGEPIN), .enable(RESETB & ~BYPASS), .clock(PLLOUTGLOBAL), .half(), .locked(LOCK));
endmodule

module SB_PLL40_2F_PAD #(
    parameter FEEDBACK_PATH = "SIMPLE",
    parameter PLLOUT_SELECT_PORTA = "GENCLK",
    parameter PLLOUT_SELECT_PORTB = "GENCLK_HALF",
    parameter [3:0] DIVR = 0,
    parameter [6:0] DIVF = 0,
    parameter [2:0] DIVQ = 0,
    parameter [2:0] FILTER_RANGE = 0
) (
    input PACKAGEPIN, RESETB, BYPASS,
    output PLLOUTGLOBALA, PLLOUTGLOBALB, LOCK
);
    pll #(.MULTIPLY(DIVF + 1), .DIVIDE((DIVR + 1) * (1 << DIVQ)))
        pll (.reference(PACKAGEPIN), .enable(RESETB & ~BYPASS), .clock(PLLOUTGLOBALA), .half(PLLOUTGLOBALB),
             .locked(LOCK));
endmodule

// ECP5, feedback from the first output.
module EHXPLLL #(
    parameter PLLRST_ENA = "DISABLED",
    parameter INTFB_WAKE = "DISABLED",
    parameter STDBY_ENABLE = "DISABLED",
    parameter DPHASE_SOURCE = "DISABLED",
    parameter FEEDBK_PATH = "CLKOP",
    parameter CLKI_DIV = 1,
    parameter CLKFB_DIV = 1,
    parameter CLKOP_ENABLE = "ENABLED",
    parameter CLKOP_DIV = 1,
    parameter CLKOP_CPHASE = 0,
    parameter CLKOP_FPHASE = 0
) (
    input CLKI, CLKFB, RST, STDBY, ENCLKOP,
    input PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG, PLLWAKESYNC,
    output CLKOP, LOCK
);
    pll #(.MULTIPLY(CLKFB_DIV), .DIVIDE(CLKI_DIV))
        pll (.reference(CLKI), .enable(~RST & ~STDBY), .clock(CLKOP), .half(), .locked(LOCK));
endmodule
