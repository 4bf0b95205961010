// The FPGA of the iCEBreaker with what is soldered to the pins that the design uses; `top` is the design.
module icebreaker (
    input clk12,
    input rx,
    output tx
);
    wire rx_pin, tx_pin;
    assign rx_pin = rx;
    assign tx = tx_pin;
    top fpga (.clk12_0__io(clk12), .uart_0__rx__io(rx_pin), .uart_0__tx__io(tx_pin));
endmodule
