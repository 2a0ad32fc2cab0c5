"""System calls that a program in the sandbox is refused, as a filter that the kernel runs (classic BPF).

It lies under the namespaces: what they hide cannot be reached, and what they cannot hide (the kernel's less travelled
paths, memory that no limit counts, further processes) cannot be asked for. Source of the format: Linux, linux/seccomp.h.
"""

import platform
import struct

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*, by the name of the machine
X32 = 0x40000000  # numbers from here on reach the same calls of x86_64 by another way
# Where they stand in struct seccomp_data; of the arguments the low half.
NUMBER, ARCHITECTURE, FIRST_ARGUMENT, SECOND_ARGUMENT = 0, 4, 16, 24
LOAD, AND, EQUAL, AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
ALLOW, KILL = 0x7FFF0000, 0x80000000
NOT_PERMITTED, NO_SUCH_CALL = 0x00050000 | 1, 0x00050000 | 38  # EPERM, ENOSYS
CLONE_THREAD = 0x00010000
CLONE, CLONE3, PRLIMIT = (56, 220), (435, 435), (302, 261)
NEWEST = 450  # set_mempolicy_home_node: later calls do what nobody has looked at here
# What outlives a program at a file: F_SETLEASE and F_NOTIFY of fcntl, FS_IOC_SETFLAGS and FS_IOC_FSSETXATTR of ioctl.
DENIED_COMMANDS = {(72, 25): (1024, 1026), (16, 29): (0x40086602, 0x401C5820)}

# (x86_64, aarch64); None where there is no such call. Source: asm/unistd_64.h and asm-generic/unistd.h of Linux 6.1.
DENIED: dict[str, tuple[int, int | None]] = {
    # Other processes: none may be made, watched, signalled or slowed down.
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "process_madvise": (440, 440), "process_mrelease": (448, 448),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122), "sched_setattr": (314, 274),
    "sched_setparam": (142, 118), "sched_setscheduler": (144, 119), "migrate_pages": (256, 238), "move_pages": (279, 239),
    # Namespaces, mounts and files by handle.
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "swapon": (167, 224), "swapoff": (168, 225), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "acct": (163, 89), "fanotify_init": (300, 262),
    # The kernel itself.
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "reboot": (169, 142), "syslog": (103, 116),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "personality": (135, 92), "vhangup": (153, 58), "seccomp": (317, 277), "modify_ldt": (154, None), "iopl": (172, None),
    "ioperm": (173, None), "sethostname": (170, 161), "setdomainname": (171, 162),
    # Sockets, and memory that outlives a process or that RLIMIT_AS does not count.
    "socket": (41, 198), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
}  # fmt: skip


def seccomp_filter(machine: str = "") -> bytes:
    """The filter as an array of struct sock_filter; b"" for a machine whose numbers are not known.

    machine: as `platform.machine()` says it; the default asks.
    Threads are allowed and processes are not: `clone` needs CLONE_THREAD, and the newer `clone3`, whose flags a filter
    cannot read, is said not to exist, so that the C library falls back; so is any call that is newer than NEWEST.
    `prlimit64` may name the caller only.
    """
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        return b""
    column = list(ARCHITECTURES).index(machine)
    denied = [numbers[column] for numbers in DENIED.values()]
    code = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, ARCHITECTURES[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, 0, 1, X32),
        (RETURN, 0, 0, NOT_PERMITTED),
        (AT_LEAST, 0, 1, NEWEST + 1),
        (RETURN, 0, 0, NO_SUCH_CALL),
    ]
    for number in denied:
        if number is not None:
            code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, NOT_PERMITTED)]
    code += [(EQUAL, 0, 1, CLONE3[column]), (RETURN, 0, 0, NO_SUCH_CALL)]
    for number, bits, value in ((CLONE[column], CLONE_THREAD, CLONE_THREAD), (PRLIMIT[column], 0xFFFFFFFF, 0)):
        code += [
            (EQUAL, 0, 5, number),
            (LOAD, 0, 0, FIRST_ARGUMENT),
            (AND, 0, 0, bits),
            (EQUAL, 0, 1, value),
            (RETURN, 0, 0, ALLOW),
            (RETURN, 0, 0, NOT_PERMITTED),
        ]
    for numbers, commands in DENIED_COMMANDS.items():
        code += [(EQUAL, 0, 2 + 2 * len(commands), numbers[column]), (LOAD, 0, 0, SECOND_ARGUMENT)]
        for command in commands:
            code += [(EQUAL, 0, 1, command), (RETURN, 0, 0, NOT_PERMITTED)]
        code.append((RETURN, 0, 0, ALLOW))
    code.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)
