// applymanifest applies every DIR/*.tar with containerd's own code, as its overlayfs snapshotter's
// layers are unpacked, and writes what came of it beside it: NAME.manifest, one line an entry, or
// "error: ..." alone. The line format is that of ../layer_manifest.h.
//
//	applymanifest DIR
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: applymanifest DIR")
	}
	tars, err := filepath.Glob(filepath.Join(os.Args[1], "*.tar"))
	if err != nil {
		log.Fatal(err)
	}
	for _, tar := range tars {
		text, err := manifestOf(tar)
		if err != nil {
			text = fmt.Sprintf("error: %v\n", err)
		}
		out := strings.TrimSuffix(tar, ".tar") + ".manifest"
		if err := os.WriteFile(out, []byte(text), 0o600); err != nil {
			log.Fatal(err)
		}
	}
}

func manifestOf(tar string) (string, error) {
	root, err := os.MkdirTemp(filepath.Dir(tar), "root-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(root)
	if err := os.Chmod(root, 0o755); err != nil {
		log.Fatal(err)
	}
	f, err := os.Open(tar)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	_, err = archive.Apply(context.Background(), root, io.MultiReader(f),
		archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
	if err != nil {
		return "", err
	}
	return manifest(root)
}

func manifest(root string) (string, error) {
	var out strings.Builder
	groups := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := quote(strings.TrimPrefix(strings.TrimPrefix(path, root), "/"))
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
			fmt.Fprintf(&out, "/%s whiteout\n", name)
			return nil
		}
		group := "-"
		if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
			if _, ok := groups[st.Ino]; !ok {
				groups[st.Ino] = name
			}
			group = "/" + groups[st.Ino]
		}
		xattrs, opaque, err := xattrsOf(path)
		if err != nil {
			return err
		}
		detail, err := detailOf(path, &st)
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "/%s mtime=%d.%09d mode=%o uid=%d gid=%d link=%s%s%s%s\n", name,
			st.Mtim.Sec, st.Mtim.Nsec, st.Mode&0o7777, st.Uid, st.Gid, group, detail, opaque, xattrs)
		return nil
	})
	return out.String(), err
}

func detailOf(path string, st *unix.Stat_t) (string, error) {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return " directory", nil
	case unix.S_IFREG:
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		hash := sha256.New()
		if _, err := io.Copy(hash, f); err != nil {
			return "", err
		}
		return fmt.Sprintf(" file size=%d sha256=%x", st.Size, hash.Sum(nil)), nil
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		return " symlink target=" + quote(target), err
	case unix.S_IFCHR:
		return fmt.Sprintf(" char %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)), nil
	case unix.S_IFBLK:
		return fmt.Sprintf(" block %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)), nil
	case unix.S_IFIFO:
		return " fifo", nil
	}
	return "", fmt.Errorf("%s: unexpected type", path)
}

func xattrsOf(path string) (xattrs, opaque string, err error) {
	list := make([]byte, 64*1024)
	n, err := unix.Llistxattr(path, list)
	if err != nil {
		return "", "", err
	}
	names := strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00")
	sort.Strings(names)
	for _, name := range names {
		if name == "" {
			continue
		}
		value := make([]byte, 64*1024)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", "", err
		}
		if name == "trusted.overlay.opaque" {
			opaque = " opaque"
			continue
		}
		xattrs += " " + quote(name) + "=" + quote(string(value[:n]))
	}
	return xattrs, opaque, nil
}

// quote writes what is no printable ASCII as %XX.
func quote(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if c := text[i]; c > 0x20 && c < 0x7f && c != '%' {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, "%%%02x", c)
		}
	}
	return out.String()
}
