# First instruction of a RISC-V core, at address 0. Memory is zero but for what was loaded.
    .section .text.start
    .globl _start
_start:
    la   sp, stack_top
    call main
1:  j    1b
