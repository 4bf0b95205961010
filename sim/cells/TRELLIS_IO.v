// Pin of the ECP5: input or output.
module TRELLIS_IO #(
    parameter DIR = "INPUT"
) (
    inout B,
    input I, T,
    output O
);
    generate
        if (DIR == "OUTPUT") assign B = I;
        else assign O = B;
    endgenerate
endmodule
