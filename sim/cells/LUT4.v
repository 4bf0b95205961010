// Look-up tables. Yosys' models choose by multiplexers, which take three times as long to compile.
module SB_LUT4 #(
    parameter [15:0] LUT_INIT = 0
) (
    input I0, I1, I2, I3,
    output O
);
    assign O = LUT_INIT[{I3, I2, I1, I0}];
endmodule

module LUT4 #(
    parameter [15:0] INIT = 0
) (
    input A, B, C, D,
    output Z
);
    assign Z = INIT[{D, C, B, A}];
endmodule
