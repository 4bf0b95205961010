// Pin of the iCE40, as far as the boards use it: input or output, each direct or registered.
module SB_IO #(
    parameter [5:0] PIN_TYPE = 0,
    parameter PULLUP = 0,
    parameter NEG_TRIGGER = 0,
    parameter IO_STANDARD = "SB_LVCMOS"
) (
    inout PACKAGE_PIN,
    input LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1,
    output D_IN_0, D_IN_1
);
    reg in_q, out_q;
    always @(posedge INPUT_CLK) in_q <= PACKAGE_PIN;
    always @(posedge OUTPUT_CLK) out_q <= D_OUT_0;
    assign D_IN_0 = PIN_TYPE[1:0] == 2'b00 ? in_q : PACKAGE_PIN;
    assign D_IN_1 = 0;

    wire out = PIN_TYPE[3:2] == 2'b01 ? out_q : D_OUT_0;
    generate
        if (PIN_TYPE[5:4] == 2'b01) assign PACKAGE_PIN = out;
        else if (PIN_TYPE[5:4] == 2'b10) assign PACKAGE_PIN = OUTPUT_ENABLE ? out : 1'bz;
    endgenerate
endmodule
