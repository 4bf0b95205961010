// PLL of the iCE40 with simple feedback: measures its reference, waits as a PLL does, then multiplies.
`timescale 1ns / 1ps
module SB_PLL40_PAD #(
    parameter FEEDBACK_PATH = "SIMPLE",
    parameter [3:0] DIVR = 0,
    parameter [6:0] DIVF = 0,
    parameter [2:0] DIVQ = 0,
    parameter [2:0] FILTER_RANGE = 0
) (
    input PACKAGEPIN, RESETB, BYPASS,
    output reg PLLOUTGLOBAL,
    output reg LOCK
);
    realtime edge_before, half_period;
    integer edges;

    initial begin
        PLLOUTGLOBAL = 0;
        LOCK = 0;
        edges = 0;
        half_period = 0;
    end

    always @(posedge PACKAGEPIN) begin
        if (edges > 0)
            half_period <= ($realtime - edge_before) * (DIVR + 1) * (1 << DIVQ) / (DIVF + 1) / 2;
        edge_before <= $realtime;
        edges <= edges + 1;
        if (edges == 40)
            LOCK <= RESETB & ~BYPASS;
    end

    // It runs before it has locked.
    always begin
        wait (half_period > 0);
        #(half_period) PLLOUTGLOBAL = ~PLLOUTGLOBAL;
    end
endmodule
