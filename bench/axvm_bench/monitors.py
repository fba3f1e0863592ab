"""How each monitor is started, so that every bench starts it alike."""

import subprocess

QEMU = "qemu-system-x86_64"
# The fastest set of options there is for it: no BIOS that probes, no device that Linux would look for in vain.
MICROVM = "microvm,rtc=on,x-option-roms=off,pit=off,pic=off,isa-serial=on,memory-backend=ram"


def cmdline(append, pci=False):
    """The options that a guest's kernel has in every monitor, and more."""
    return f"console=ttyS0 panic=-1 {'' if pci else 'pci=off '}{append}".strip()


def xv2_vmm(program, kernel, initrd=None, memory="256M", vcpus=1, append="", pci=False, more=()):
    command = [program, "--host-check=warn", "--no-reboot", "--kernel", kernel, "--memory", memory]
    command += ["--vcpus", str(vcpus), *(["--initrd", initrd] if initrd else [])]
    return [*command, "--cmdline", cmdline(append, pci), *more]


def qemu_microvm(kernel, initrd=None, memory="256M", vcpus=1, append="", pci=False, more=()):
    # reserve=off: what the guest never touches need not be there.
    command = [QEMU, "-accel", "kvm", "-cpu", "host", "-machine", MICROVM + (",pcie=on" if pci else ""), "-bios", "qboot.rom"]
    command += ["-object", f"memory-backend-ram,id=ram,size={memory},reserve=off", "-m", memory, "-smp", str(vcpus)]
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]
    command += ["-kernel", kernel, *(["-initrd", initrd] if initrd else [])]
    return [*command, "-append", cmdline(append, pci), *more]


def qemu_version():
    done = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0].removeprefix("QEMU emulator version ").split(" ")[0]
