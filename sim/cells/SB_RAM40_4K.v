// Behaviour of the block RAM of the iCE40 as 256 words of 16 bits, its modes 0: one read and one write a cycle, a write of
// those bits whose mask bit is clear; a read of what is being written is undefined there, and gives the old word here.
module SB_RAM40_4K #(
    parameter READ_MODE = 0,
    parameter WRITE_MODE = 0
) (
    output reg [15:0] RDATA,
    input RCLK, RCLKE, RE,
    input [10:0] RADDR,
    input WCLK, WCLKE, WE,
    input [10:0] WADDR,
    input [15:0] MASK,
    input [15:0] WDATA
);
    reg [15:0] words [0:255];

    always @(posedge WCLK)
        if (WCLKE & WE)
            words[WADDR[7:0]] <= (words[WADDR[7:0]] & MASK) | (WDATA & ~MASK);

    always @(posedge RCLK)
        if (RCLKE & RE)
            RDATA <= words[RADDR[7:0]];
endmodule
