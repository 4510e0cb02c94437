/*
 * The guest's first instructions: PVH entry (32-bit, paging off) to long mode, interrupt stubs, and the trampoline of
 * further processors.
 *
 * References: "x86/HVM direct boot ABI" (Xen documentation) for the entry state; Intel SDM volume 3A, 10.8.5 for the
 * way into long mode and 9.4 for INIT/SIPI.
 */

.set ELF_NOTE_PHYSICAL_ENTRY, 18        /* XEN_ELFNOTE_PHYS32_ENTRY */

.set CR0_PROTECTED, 0x00000001
.set CR0_PAGING, 0x80000000
.set CR4_PHYSICAL_ADDRESS_EXTENSION, 0x20
.set MSR_EXTENDED_FEATURES, 0xc0000080
.set LONG_MODE_ENABLE, 0x100
.set CPUID_GIGABYTE_PAGES, 26           /* leaf 0x80000001, EDX */
.set PAGE_PRESENT_WRITABLE, 0x3
.set PAGE_LARGE, 0x83
.set LARGE_PAGE_SIZE, 0x200000
.set ENTRIES_PER_TABLE, 512

.set CODE64, 0x08
.set DATA, 0x10
.set CODE32, 0x18

.section .note.Xen, "a", @note
  .balign 4
  .long 4                               /* length of the name */
  .long 8                               /* length of the value */
  .long ELF_NOTE_PHYSICAL_ENTRY
  .asciz "Xen"
  .quad pvh_entry

.section .text
.code32
.globl pvh_entry
pvh_entry:
  cld
  movl $stack_top, %esp
  movl %ebx, %ebp                       /* address of hvm_start_info */

  movl $zeroed_start, %edi
  movl $zeroed_end, %ecx
  subl %edi, %ecx
  shrl $2, %ecx
  xorl %eax, %eax
  rep stosl
  movl %ebp, start_information_address

  movl $page_table_root, %edi           /* root and the table of its first 512 GiB, adjacent */
  movl $(2 * 4096 / 4), %ecx
  rep stosl
  movl $page_table_low + PAGE_PRESENT_WRITABLE, page_table_root

  movl $0x80000001, %eax
  cpuid
  btl $CPUID_GIGABYTE_PAGES, %edx
  jnc 1f
  movb $1, gigabyte_pages
  movl $PAGE_LARGE, page_table_low
  jmp 3f
1:
  movl $page_directory_low + PAGE_PRESENT_WRITABLE, page_table_low
  movl $page_directory_low, %edi
  movl $PAGE_LARGE, %eax
  movl $ENTRIES_PER_TABLE, %ecx
2:
  movl %eax, (%edi)
  movl $0, 4(%edi)
  addl $LARGE_PAGE_SIZE, %eax
  addl $8, %edi
  decl %ecx
  jnz 2b
3:
  movl $long_mode, %esi

/* Enters long mode and jumps to the address in %esi; used by every processor. Needs no stack. */
enter_long_mode:
  movl %cr4, %eax
  orl $CR4_PHYSICAL_ADDRESS_EXTENSION, %eax
  movl %eax, %cr4
  movl $page_table_root, %eax
  movl %eax, %cr3
  movl $MSR_EXTENDED_FEATURES, %ecx
  rdmsr
  orl $LONG_MODE_ENABLE, %eax
  wrmsr
  movl %cr0, %eax
  orl $(CR0_PAGING | CR0_PROTECTED), %eax
  movl %eax, %cr0
  lgdt descriptor_table_pointer
  ljmp $CODE64, $1f
.code64
1:
  movl $DATA, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  xorl %eax, %eax
  movl %eax, %fs
  movl %eax, %gs
  movl %esi, %esi
  jmp *%rsi

long_mode:
  movl $stack_top, %esp
  call guest_main
4:
  cli
  hlt
  jmp 4b

/*
 * Interrupt entries: STUB_SIZE bytes each, for vectors 0 to STUB_COUNT - 1. Each leaves an error code (0 where the
 * processor gives none) and the vector above what the processor pushed.
 */
.set STUB_SIZE, 16
.set STUB_COUNT, 96

.balign STUB_SIZE
.globl interrupt_stubs
interrupt_stubs:
.set vector, 0
.rept STUB_COUNT
  .balign STUB_SIZE
  /* 8, 10-14, 17, 21, 29 and 30 come with an error code (Intel SDM volume 3A, table 6-1). */
  .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
  pushq $0
  .endif
  pushq $vector
  jmp interrupt_common
  .set vector, vector + 1
.endr

interrupt_common:
  pushq %rax
  pushq %rcx
  pushq %rdx
  pushq %rsi
  pushq %rdi
  pushq %r8
  pushq %r9
  pushq %r10
  pushq %r11
  cld
  movq %rsp, %rdi
  call interrupt_dispatch
  popq %r11
  popq %r10
  popq %r9
  popq %r8
  popq %rdi
  popq %rsi
  popq %rdx
  popq %rcx
  popq %rax
  addq $16, %rsp
  iretq

/*
 * The first instructions of a further processor, copied to processor_trampoline_address (real mode, CS = address / 16).
 * It enters long mode on the tables of the first one, adds its APIC id to the list, counts itself, and stops.
 */
.code16
.globl processor_trampoline
.globl processor_trampoline_end
.set TRAMPOLINE_ADDRESS, 0x8000
processor_trampoline:
  cli
  xorw %ax, %ax
  movw %ax, %ds
  lgdtl TRAMPOLINE_ADDRESS + (trampoline_table_pointer - processor_trampoline)
  movl %cr0, %eax
  orl $CR0_PROTECTED, %eax
  movl %eax, %cr0
  ljmpl $CODE32, $processor_protected_mode
.balign 4
trampoline_table_pointer:
  .word descriptor_table_end - descriptor_table - 1
  .long descriptor_table
processor_trampoline_end:

.code32
processor_protected_mode:
  movl $DATA, %eax
  movl %eax, %ds
  movl %eax, %ss
  movl $processor_long_mode, %esi
  jmp enter_long_mode

.set CPUID_IDENTITY, 1
.set APIC_ID_SHIFT, 24
.set PROCESSOR_LIST_MASK, 63            /* processor_ids has 64 entries */
.code64
processor_long_mode:
  movl $CPUID_IDENTITY, %eax
  cpuid
  shrl $APIC_ID_SHIFT, %ebx
  movl $1, %eax
  lock xaddl %eax, processors_arrived
  andl $PROCESSOR_LIST_MASK, %eax
  movb %bl, processor_ids(%rax)
  lock incl processors_counted
1:
  cli
  hlt
  jmp 1b

.section .rodata
.balign 8
descriptor_table:
  .quad 0
  .quad 0x00af9a000000ffff              /* CODE64 */
  .quad 0x00cf92000000ffff              /* DATA */
  .quad 0x00cf9a000000ffff              /* CODE32 */
descriptor_table_end:
.balign 4
.word 0
descriptor_table_pointer:
  .word descriptor_table_end - descriptor_table - 1
  .long descriptor_table
  .long 0

.section .bss
.balign 8
.globl start_information_address
start_information_address: .quad 0
.globl gigabyte_pages
gigabyte_pages: .byte 0
.balign 4
processors_arrived: .long 0
.globl processors_counted
processors_counted: .long 0
.globl processor_ids
processor_ids: .skip 64

.section .bss.unzeroed, "aw", @nobits
.balign 4096
.globl page_table_root
page_table_root: .skip 4096
page_table_low: .skip 4096
page_directory_low: .skip 4096
stack_bottom: .skip 16384
stack_top:

.section .note.GNU-stack, "", @progbits
