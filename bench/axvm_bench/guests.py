"""What the guests of benches consist of: initrds of one program, and the smallest kernel there is."""

import pathlib
import struct


def initrd(program, path, modules=()):
    """An archive (cpio, "newc") that holds the program as /init. Modules, each a file and what to load it with, become
    /modules/NAME; /modules/order has a line for each."""

    def member(name, mode, content):
        fields = [0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        out = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4)
        return out + content + b"\0" * (-len(content) % 4)

    with open(program, "rb") as file:
        init = file.read()
    members = [member("init", 0o100755, init)]
    if modules:
        order = "".join(f"{pathlib.Path(file).name} {parameters}".rstrip() + "\n" for file, parameters in modules)
        members += [member("dev", 0o040755, b""), member("modules", 0o040755, b""), member("modules/order", 0o100644, order.encode())]
        members += [member(f"modules/{pathlib.Path(file).name}", 0o100644, pathlib.Path(file).read_bytes()) for file, _ in modules]
    path.write_bytes(b"".join(members) + member("TRAILER!!!", 0, b""))
    return str(path)


def tiny_kernel(path):
    """A bzImage ([linux/boot] 1.1) that writes one byte to the serial port and halts for good, wherever it is entered:
    in real mode, as firmware does, or at its 64-bit entry."""
    code = bytes.fromhex("b053 eeeb00 faf4 ebfd".replace(" ", ""))  # mov al,'S'; out dx,al; jmp; cli; hlt; jmp to hlt
    real_mode = bytes.fromhex("baf803") + code  # mov dx,0x3f8
    long_mode = bytes.fromhex("66baf803") + code
    setup = bytearray(2 * 512)
    setup[0x1F1] = 1  # setup_sects, without the boot sector
    struct.pack_into("<I", setup, 0x1F4, 512 // 16 * 2)  # syssize
    struct.pack_into("<H", setup, 0x1FE, 0xAA55)
    struct.pack_into("<BB", setup, 0x200, 0xEB, 0x6A)  # jump over the header
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, 0x20F)  # version
    setup[0x211] = 1  # loadflags: LOADED_HIGH
    struct.pack_into("<I", setup, 0x214, 0x100000)  # code32_start
    struct.pack_into("<I", setup, 0x22C, 0x7FFFFFFF)  # initrd_addr_max
    struct.pack_into("<IBBH", setup, 0x230, 0x200000, 1, 21, 3)  # alignment, relocatable, its least, XLF_KERNEL_64
    struct.pack_into("<I", setup, 0x238, 2047)  # cmdline_size
    struct.pack_into("<QI", setup, 0x258, 0x1000000, 0x100000)  # pref_address, init_size
    setup[0x26C : 0x26C + len(real_mode)] = real_mode
    kernel = bytearray(1024)
    kernel[0x200 : 0x200 + len(long_mode)] = long_mode  # startup_64
    path.write_bytes(bytes(setup) + bytes(kernel))
    return str(path)
