// Behaviour of the block RAM of the iCE40, one read and one write a cycle: as 256 rows of 16 bits in mode 0, a write of
// those bits whose mask bit is clear; in mode m, of each 2**m bits the one that the upper address bits name. A read of
// bits that are written in the same cycle is undefined there, and gives them inverted here.
module SB_RAM40_4K #(
    parameter READ_MODE = 0,
    parameter WRITE_MODE = 0,
    parameter [255:0] INIT_0 = 0, INIT_1 = 0, INIT_2 = 0, INIT_3 = 0, INIT_4 = 0, INIT_5 = 0, INIT_6 = 0, INIT_7 = 0,
    parameter [255:0] INIT_8 = 0, INIT_9 = 0, INIT_A = 0, INIT_B = 0, INIT_C = 0, INIT_D = 0, INIT_E = 0, INIT_F = 0
) (
    output reg [15:0] RDATA,
    input RCLK, RCLKE, RE,
    input [10:0] RADDR,
    input WCLK, WCLKE, WE,
    input [10:0] WADDR,
    input [15:0] MASK,
    input [15:0] WDATA
);
    localparam [4095:0] CONTENTS = {INIT_F, INIT_E, INIT_D, INIT_C, INIT_B, INIT_A, INIT_9, INIT_8,
                                    INIT_7, INIT_6, INIT_5, INIT_4, INIT_3, INIT_2, INIT_1, INIT_0};
    reg [15:0] rows [0:255];
    integer row;
    initial
        for (row = 0; row < 256; row = row + 1)
            rows[row] = CONTENTS[16 * row +: 16];

    // Pin of each group of 2**mode that carries its bit.
    function automatic integer pin(input integer mode);
        pin = mode == 3 ? 3 : mode == 2 ? 1 : 0;
    endfunction

    wire [15:0] written, data, seen, out;
    assign seen = rows[RADDR[7:0]] ^ (RADDR[7:0] == WADDR[7:0] ? written : 16'b0);
    genvar index;
    generate
        if (WRITE_MODE == 0) begin
            assign written = {16{WE & WCLKE}} & ~MASK;
            assign data = WDATA;
        end else
            for (index = 0; index < 16; index = index + 1) begin
                assign written[index] = WE & WCLKE & WADDR[8 +: WRITE_MODE] == index % (1 << WRITE_MODE);
                assign data[index] = WDATA[index - index % (1 << WRITE_MODE) + pin(WRITE_MODE)];
            end
        if (READ_MODE == 0)
            assign out = seen;
        else
            for (index = 0; index < 16; index = index + 1)
                assign out[index] = index % (1 << READ_MODE) == pin(READ_MODE)
                    ? seen[index - pin(READ_MODE) + RADDR[8 +: READ_MODE]] : 1'b0;
    endgenerate

    always @(posedge WCLK)
        if (written != 0)
            rows[WADDR[7:0]] <= (rows[WADDR[7:0]] & ~written) | (data & written);

    always @(posedge RCLK)
        if (RCLKE & RE)
            RDATA <= out;
endmodule
