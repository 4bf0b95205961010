@ The first words of a Cortex-M: initial stack pointer and reset vector. Memory is zero but for what was loaded.
    .syntax unified
    .thumb
    .section .text.start
    .word stack_top
    .word _start + 1
    .globl _start
    .thumb_func
_start:
    bl   main
1:  b    1b
