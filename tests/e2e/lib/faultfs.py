#!/usr/bin/python3
"""A folder that can be made to fail: everything passes through to the folder below, until the control
file says otherwise.

    faultfs.py BELOW MOUNT CONTROL [CACHE_S]

The control file holds a word, looked at before each operation that changes anything: `ok`; `eio`,
`enospc`, `erofs`, which is then the error; `hang`: it does not return before the word is another;
`hang END`: likewise, but only on paths that end so. Reading goes on. The file CONTROL.hung then holds when (time.monotonic) the first of them began to
hang. CACHE_S: for how long the kernel may answer by itself for names and attributes (1).
(Debian's python3-fusepy.)
"""
import errno
import os
import sys
import time

import fusepy

ERRORS = {"eio": errno.EIO, "enospc": errno.ENOSPC, "erofs": errno.EROFS}


class FaultFs(fusepy.Operations):
    def __init__(self, below, control):
        self.below, self.control, self.hung = below, control, False

    def _path(self, path):
        return self.below + path

    def _gate(self, path):
        while True:
            with open(self.control, encoding="ascii") as f:
                word, _, end = f.read().strip().partition(" ")
            if word != "hang" or not path.endswith(end):
                self.hung = False
                break
            if not self.hung:
                self.hung = True
                with open(self.control + ".hung.new", "w", encoding="ascii") as f:
                    f.write(repr(time.monotonic()))
                os.replace(self.control + ".hung.new", self.control + ".hung")
            time.sleep(0.005)
        if word in ERRORS:
            raise fusepy.FuseOSError(ERRORS[word])

    def getattr(self, path, fh=None):
        st = os.lstat(self._path(path))
        return {key: getattr(st, key) for key in (
            "st_atime", "st_ctime", "st_gid", "st_mode", "st_mtime", "st_nlink", "st_size", "st_uid",
            "st_blocks")}

    def access(self, path, mode):
        if not os.access(self._path(path), mode):
            raise fusepy.FuseOSError(errno.EACCES)

    def readdir(self, path, fh):
        return [".", ".."] + os.listdir(self._path(path))

    def readlink(self, path):
        return os.readlink(self._path(path))

    def statfs(self, path):
        st = os.statvfs(self._path(path))
        return {key: getattr(st, key) for key in (
            "f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_flag",
            "f_frsize", "f_namemax")}

    def open(self, path, flags):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC):
            self._gate(path)
        return os.open(self._path(path), flags & ~os.O_APPEND)

    def create(self, path, mode, fi=None):
        self._gate(path)
        return os.open(self._path(path), os.O_RDWR | os.O_CREAT, mode)

    def read(self, path, size, offset, fh):
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        self._gate(path)
        return os.pwrite(fh, data, offset)

    def truncate(self, path, length, fh=None):
        self._gate(path)
        os.truncate(self._path(path), length)

    def fsync(self, path, datasync, fh):
        self._gate(path)
        os.fdatasync(fh) if datasync else os.fsync(fh)

    def fsyncdir(self, path, datasync, fh):
        self._gate(path)

    def release(self, path, fh):
        os.close(fh)

    def mkdir(self, path, mode):
        self._gate(path)
        os.mkdir(self._path(path), mode)

    def rmdir(self, path):
        self._gate(path)
        os.rmdir(self._path(path))

    def unlink(self, path):
        self._gate(path)
        os.unlink(self._path(path))

    def rename(self, old, new):
        self._gate(new)
        os.rename(self._path(old), self._path(new))

    def chmod(self, path, mode):
        self._gate(path)
        os.chmod(self._path(path), mode)

    def chown(self, path, uid, gid):
        self._gate(path)
        os.chown(self._path(path), uid, gid)

    def utimens(self, path, times=None):
        os.utime(self._path(path), times)


if __name__ == "__main__":
    cache = sys.argv[4] if len(sys.argv) > 4 else "1"
    fusepy.FUSE(FaultFs(os.path.realpath(sys.argv[1]), sys.argv[3]), sys.argv[2], foreground=True,
                nothreads=False, use_ino=False, default_permissions=False, attr_timeout=cache,
                entry_timeout=cache)
