# The guest of bench/exit: the same accesses again and again, a byte on the serial port before and after each kind.
# One source, two images: flat code that is entered in real mode at 0x1000:0, and, with ROM defined, a 64 KiB firmware
# (qemu-system-x86_64 -bios). The words behind the first jump are the bench's to fill in.
.intel_syntax noprefix
.ifdef ROM
  .equ SEGMENT, 0xf000
.else
  .equ SEGMENT, 0x1000
.endif

.code16
.globl base
base:
  jmp start
  .balign 4
counts:
  .long 0, 0, 0, 0  # port writes, port reads, MMIO writes, MMIO reads in a round
rounds:
  .long 1
port:
  .long 0x9999
address:
  .long 0xfeb00000

# Identity tables for 4 GiB in 2 MiB pages at 0x2000, then 64-bit mode ([intel/vol3] 10.8.5).
start:
  cli
  mov ax, SEGMENT
  mov ds, ax
  xor ax, ax
  mov es, ax
  mov ss, ax
  mov edi, 0x2000
  mov ecx, 0x1800
  xor eax, eax
  cld
  rep stosd
  mov dword ptr es:[0x2000], 0x3007
  mov eax, 0x4007
  mov di, 0x3000
directory:
  mov es:[di], eax
  add eax, 0x1000
  add di, 8
  cmp di, 0x3020
  jne directory
  mov eax, 0x87
  mov di, 0x4000
page:
  mov es:[di], eax
  add eax, 0x200000
  add di, 8
  cmp di, 0x8000
  jne page
  lgdtd [table - base]
  mov eax, 0x20
  mov cr4, eax
  mov eax, 0x2000
  mov cr3, eax
  mov ecx, 0xc0000080
  rdmsr
  or eax, 0x100
  wrmsr
  mov eax, cr0
  and eax, 0x9fffffff
  or eax, 0x80000001
  mov cr0, eax
  .byte 0x66, 0xea  # jmp far, with a 32-bit offset
  .long wide - base + SEGMENT * 16
  .word 8

.code64
wide:
  mov ax, 16
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov ebx, SEGMENT * 16
  mov r8d, [rbx + rounds - base]
  mov esi, [rbx + address - base]
  mov ebp, [rbx + port - base]

again:
  mov al, 'S'
  mov edx, 0x3f8
  out dx, al

  mov edx, ebp
  mov ecx, [rbx + counts - base]
  jrcxz 2f
1: out dx, al
  dec ecx
  jnz 1b
2: mov al, 'a'
  mov edx, 0x3f8
  out dx, al

  mov edx, ebp
  mov ecx, [rbx + counts - base + 4]
  jrcxz 2f
1: in al, dx
  dec ecx
  jnz 1b
2: mov al, 'b'
  mov edx, 0x3f8
  out dx, al

  mov ecx, [rbx + counts - base + 8]
  jrcxz 2f
1: mov [rsi], eax
  dec ecx
  jnz 1b
2: mov al, 'c'
  out dx, al

  mov ecx, [rbx + counts - base + 12]
  jrcxz 2f
1: mov eax, [rsi]
  dec ecx
  jnz 1b
2: mov al, 'd'
  out dx, al

  dec r8d
  jnz again
  mov al, 'X'  # the end: our own monitors know it by this, QEMU by its isa-debug-exit
  out dx, al
  mov edx, 0x501
  out dx, al
halt:
  cli
  hlt
  jmp halt

  .balign 8
gdt:
  .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
table:
  .word 23
  .long gdt - base + SEGMENT * 16

.ifdef ROM
  .org 0xfff0
.code16
  .byte 0xea  # where the processor begins: jmp 0xf000:0
  .word 0, 0xf000
  .org 0x10000
.endif
