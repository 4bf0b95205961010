// picorv32 with barrel shifter and fast multiplier on a block RAM without wait states, by its look-ahead interface.
// What begins with F is not memory: a byte written there is a mark.
module soc (
    input             clk,
    input             reset,
    output reg        mark_valid,
    output reg [ 7:0] mark
);
    parameter WORDS = 1 << 18;
    reg [31:0] ram [0:WORDS-1];

    wire        read, write;
    wire [31:0] address, out;
    wire [ 3:0] strobe;
    reg  [31:0] data;

    picorv32 #(
        .ENABLE_COUNTERS(0), .ENABLE_COUNTERS64(0), .BARREL_SHIFTER(1), .ENABLE_MUL(0), .ENABLE_FAST_MUL(1),
        .CATCH_MISALIGN(0), .CATCH_ILLINSN(0), .STACKADDR(4 * WORDS)
    ) cpu (
        .clk(clk), .resetn(!reset), .mem_ready(1'b1), .mem_rdata(data), .mem_la_read(read), .mem_la_write(write),
        .mem_la_addr(address), .mem_la_wdata(out), .mem_la_wstrb(strobe), .irq(32'h0), .pcpi_wr(1'b0),
        .pcpi_rd(32'h0), .pcpi_wait(1'b0), .pcpi_ready(1'b0)
    );

    always @(posedge clk) begin
        mark_valid <= write && address[31:28] == 4'hf;
        mark       <= out[7:0];
        if (read) data <= ram[address[$clog2(WORDS)+1:2]];
        if (write && address[31:28] != 4'hf) begin
            if (strobe[0]) ram[address[$clog2(WORDS)+1:2]][ 7: 0] <= out[ 7: 0];
            if (strobe[1]) ram[address[$clog2(WORDS)+1:2]][15: 8] <= out[15: 8];
            if (strobe[2]) ram[address[$clog2(WORDS)+1:2]][23:16] <= out[23:16];
            if (strobe[3]) ram[address[$clog2(WORDS)+1:2]][31:24] <= out[31:24];
        end
    end

`ifndef SYNTHESIS
    reg [8*1024-1:0] path;
    initial if ($value$plusargs("load=%s", path)) $readmemh(path, ram);
    always @(posedge clk) if (mark_valid && mark == 8'hff && $value$plusargs("save=%s", path)) $writememh(path, ram);
`endif
endmodule
