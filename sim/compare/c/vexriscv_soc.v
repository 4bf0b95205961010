// VexRiscv with its caches on a dual-ported block RAM that bursts: one wait state for the first word, none after it,
// none for writes. What begins with F is not memory: a byte written there is a mark.
module soc (
    input             clk,
    input             reset,
    output            mark_valid,
    output     [ 7:0] mark
);
    parameter WORDS = 1 << 18;
    reg [31:0] ram [0:WORDS-1];

    wire        i_cyc, i_stb, d_cyc, d_stb, d_we;
    wire [29:0] i_adr, d_adr;
    wire [31:0] d_out;
    wire [ 3:0] d_sel;
    wire [ 2:0] i_cti, d_cti;
    reg         i_ack, d_read_ack;
    reg  [31:0] i_data, d_data;

    wire d_io    = d_adr[29:26] == 4'hf;
    wire d_write = d_cyc && d_stb && d_we;

    VexRiscv cpu (
        .clk(clk), .reset(reset), .externalResetVector(32'h0),
        .timerInterrupt(1'b0), .softwareInterrupt(1'b0), .externalInterruptArray(32'h0),
        .iBusWishbone_CYC(i_cyc), .iBusWishbone_STB(i_stb), .iBusWishbone_ACK(i_ack), .iBusWishbone_WE(),
        .iBusWishbone_ADR(i_adr), .iBusWishbone_DAT_MISO(i_data), .iBusWishbone_DAT_MOSI(), .iBusWishbone_SEL(),
        .iBusWishbone_ERR(1'b0), .iBusWishbone_CTI(i_cti), .iBusWishbone_BTE(),
        .dBusWishbone_CYC(d_cyc), .dBusWishbone_STB(d_stb), .dBusWishbone_ACK(d_write || d_read_ack),
        .dBusWishbone_WE(d_we), .dBusWishbone_ADR(d_adr), .dBusWishbone_DAT_MISO(d_data),
        .dBusWishbone_DAT_MOSI(d_out), .dBusWishbone_SEL(d_sel), .dBusWishbone_ERR(1'b0), .dBusWishbone_CTI(d_cti),
        .dBusWishbone_BTE()
    );

    wire [29:0] i_next = i_ack ? i_adr + 1'b1 : i_adr;
    wire [29:0] d_next = d_read_ack ? d_adr + 1'b1 : d_adr;

    always @(posedge clk) begin
        i_data     <= ram[i_next[$clog2(WORDS)-1:0]];
        d_data     <= ram[d_next[$clog2(WORDS)-1:0]];
        i_ack      <= !reset && i_cyc && i_stb && (!i_ack || i_cti == 3'b010);
        d_read_ack <= !reset && d_cyc && d_stb && !d_we && (!d_read_ack || d_cti == 3'b010);
        if (d_write && !d_io) begin
            if (d_sel[0]) ram[d_adr[$clog2(WORDS)-1:0]][ 7: 0] <= d_out[ 7: 0];
            if (d_sel[1]) ram[d_adr[$clog2(WORDS)-1:0]][15: 8] <= d_out[15: 8];
            if (d_sel[2]) ram[d_adr[$clog2(WORDS)-1:0]][23:16] <= d_out[23:16];
            if (d_sel[3]) ram[d_adr[$clog2(WORDS)-1:0]][31:24] <= d_out[31:24];
        end
    end

    assign mark_valid = d_write && d_io;
    assign mark       = d_out[7:0];

`ifndef SYNTHESIS
    reg [8*1024-1:0] path;
    initial if ($value$plusargs("load=%s", path)) $readmemh(path, ram);
    always @(posedge clk) if (mark_valid && mark == 8'hff && $value$plusargs("save=%s", path)) $writememh(path, ram);
`endif
endmodule
