// Behaviour of the single-ported memory of the iCE40 UltraPlus, 16,384 words of 16 bits: one read or one write a
// cycle, a write of those nibbles whose mask bit is set; data out hold until the next access; behind a write
// they are undefined, and here inverted. No power-saving modes: STANDBY and SLEEP must be 0, POWEROFF (active low) 1.
module SB_SPRAM256KA (
    input [13:0] ADDRESS,
    input [15:0] DATAIN,
    input [3:0] MASKWREN,
    input WREN,
    input CHIPSELECT,
    input CLOCK,
    input STANDBY,
    input SLEEP,
    input POWEROFF,
    output reg [15:0] DATAOUT
);
    reg [15:0] words [0:16383];
    wire [15:0] mask = {{4{MASKWREN[3]}}, {4{MASKWREN[2]}}, {4{MASKWREN[1]}}, {4{MASKWREN[0]}}};

    always @(posedge CLOCK)
        if (CHIPSELECT) begin
            if (WREN) begin
                words[ADDRESS] <= (words[ADDRESS] & ~mask) | (DATAIN & mask);
                DATAOUT <= ~DATAOUT;
            end else
                DATAOUT <= words[ADDRESS];
        end
endmodule
