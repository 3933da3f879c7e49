# The guest of the tests: a boot sector with its continuation, started by SeaBIOS in 0.2 s.
# It drives the first serial line by its registers and the first disk through the BIOS.
#
# Boots, says so, and asks for commands of one letter:
#   e TEXT  print TEXT               w TEXT  write TEXT to sector 8 of the disk
#   r       print sector 8           f       print the entry opt/test/entry of fw_cfg
#   t       print ticks for ever     p       say "pong" after a while (0.5 s of BIOS ticks)
#   b       reset                    o       switch off
# A BREAK is reported as "BREAK".

    .code16
    .set LINE, 0x3f8
    .set BUFFER, 0x9000                 # what was typed, and sectors
    .set SECTOR, 8

    .org 0
start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    sti
    movb %dl, drive
    # The other three sectors behind this one.
    movw $0x0203, %ax
    movw $0x0002, %cx
    xorb %dh, %dh
    movw $more, %bx
    int $0x13
    jc start
    jmp more

print:                                  # the text at si
    lodsb
    testb %al, %al
    jz done
    call put
    jmp print
put:                                    # the byte al
    pushw %dx
    pushw %ax
    movw $(LINE + 5), %dx
1:  inb %dx, %al
    testb $0x20, %al
    jz 1b
    popw %ax
    movw $LINE, %dx
    outb %al, %dx
    popw %dx
done:
    ret

get:                                    # the next byte in al
    movw $(LINE + 5), %dx
1:  inb %dx, %al
    testb $0x10, %al
    jnz broke
    testb $0x01, %al
    jz 1b
    movw $LINE, %dx
    inb %dx, %al
    ret
broke:                                  # takes the NUL that a BREAK leaves
    movw $LINE, %dx
    inb %dx, %al
    movw $text_break, %si
    call print
    jmp get

disk:                                   # function ah on SECTOR and the buffer
    movb $0x01, %al
    movw $SECTOR, packet_sector
    movb %ah, %ah
    movw $packet, %si
    movb drive, %dl
    int $0x13
    jc failed
    ret
failed:
    movw $text_failed, %si
    jmp print

drive: .byte 0
packet:                                 # of the extended functions: 1 sector, buffer, number
    .byte 16, 0
    .word 1, BUFFER, 0
packet_sector:
    .quad SECTOR

    .org 510
    .word 0xaa55

more:
    movw $text_hello, %si
    call print
ask:
    movw $text_prompt, %si
    call print
    movw $BUFFER, %di
type:
    call get
    cmpb $'\r', %al
    je typed
    stosb
    call put
    jmp type
typed:
    xorb %al, %al
    stosb
    movw $text_line, %si
    call print
    movb BUFFER, %al
    cmpb $'e', %al
    je echo
    cmpb $'w', %al
    je write
    cmpb $'r', %al
    je read
    cmpb $'f', %al
    je entry
    cmpb $'t', %al
    je tick
    cmpb $'p', %al
    je ping
    cmpb $'b', %al
    je restart
    cmpb $'o', %al
    je off
    movw $text_what, %si
    call print
    jmp ask

echo:
    movw $(BUFFER + 2), %si
    call print
    movw $text_line, %si
    call print
    jmp ask
write:
    movb $0x43, %ah
    call disk
    movw $text_written, %si
    call print
    jmp ask
read:
    movb $0x42, %ah
    call disk
    jmp echo
tick:
    movw $text_tick, %si
    call print
    jmp tick
ping:
    movw 0x046c, %bx                    # the BIOS counts 18.2 ticks a second
    addw $9, %bx
1:  cmpw 0x046c, %bx
    jne 1b
    movw $text_pong, %si
    call print
    jmp ask
restart:
    movb $0x06, %al
    movw $0x0cf9, %dx
    outb %al, %dx
    hlt
off:                                    # PM1a control of q35, S5
    movw $0x0604, %dx
    movw $0x2000, %ax
    outw %ax, %dx
    hlt

entry:                                  # fw_cfg: directory of names, then the one that is meant
    movw $0x0019, %ax
    call select
    call long
    movw %cx, %bp                       # how many names there are (less than 65536)
next_name:
    call long
    movw %cx, %bx                       # bytes of the entry
    call long
    movw %cx, entry_length              # reserved half of the second word
    rorl $16, %ecx
    movw %cx, entry_select
    movw %bx, entry_length
    movw $BUFFER, %di
    movw $56, %cx
1:  inb %dx, %al
    stosb
    loop 1b
    movw $BUFFER, %si
    movw $text_entry, %di
    movw $(text_entry_end - text_entry), %cx
    repe cmpsb
    je found_name
    decw %bp
    jnz next_name
    movw $text_none, %si
    call print
    jmp ask
found_name:
    movw entry_select, %ax
    call select
    movw entry_length, %cx
1:  inb %dx, %al
    call put
    loop 1b
    movw $text_line, %si
    call print
    jmp ask
select:                                 # entry ax; dx is the port of its bytes
    movw $0x0510, %dx
    outw %ax, %dx
    incw %dx
    ret
long:                                   # four bytes, the highest first, in ecx
    xorl %ecx, %ecx
    movw $4, %si
1:  shll $8, %ecx
    inb %dx, %al
    movb %al, %cl
    decw %si
    jnz 1b
    ret

entry_select: .word 0
entry_length: .word 0
text_hello: .asciz "hello from the guest\r\n"
text_prompt: .asciz "Command [command]: "
text_line: .asciz "\r\n"
text_what: .asciz "what?\r\n"
text_break: .asciz "BREAK\r\n"
text_failed: .asciz "disk failed\r\n"
text_written: .asciz "written\r\n"
text_tick: .asciz "tick\r\n"
text_pong: .asciz "pong\r\n"
text_none: .asciz "no entry\r\n"
text_entry: .asciz "opt/test/entry"
text_entry_end:
    .org 2048
