package child

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Folder is a data folder that one living process holds. Its files are private
// to the user that runs us: folders 0700, files 0600.
type Folder struct {
	dir  string
	lock *os.File
}

// HeldError says that another living process (or another part of this one)
// uses the folder.
type HeldError struct {
	Dir string
	PID int // 0 if the holder has not written it yet
}

// Error names the holder and what to do.
func (e *HeldError) Error() string {
	holder := "another process"
	if e.PID != 0 {
		holder = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("the data folder %s is in use by %s: stop it, or choose another folder", e.Dir, holder)
}

// OpenFolder makes the folder if need be and takes its lock (the file "lock"
// in it). The lock is the kernel's: it ends with the process that holds it,
// however that ends, so only a living holder is ever an error, a *[HeldError].
func OpenFolder(dir string) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the data folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", explain(err))
	}
	// Close-on-exec, as all of Go's files: a child must not keep our lock.
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the data folder: %w", explain(err))
	}
	if err := flock(lock); err != nil {
		defer func() { _ = lock.Close() }()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock the data folder %s: %w", dir, err)
		}
		var holder identity
		if data, err := io.ReadAll(io.LimitReader(lock, 4096)); err == nil {
			_ = json.Unmarshal(data, &holder) // a holder that is just writing has no name yet
		}
		return nil, &HeldError{Dir: dir, PID: holder.PID}
	}
	f := &Folder{dir: dir, lock: lock}
	if err := f.sign(); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// flock tries once, and again where a signal interrupted it.
func flock(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			return err
		}
	}
}

// sign writes who holds the lock, for the message of the one who cannot have it.
func (f *Folder) sign() error {
	id, err := identify(os.Getpid())
	if err != nil {
		id = identity{PID: os.Getpid()}
	}
	data, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("encode the holder of %s: %w", f.dir, err)
	}
	if err := f.lock.Truncate(0); err != nil {
		return fmt.Errorf("write the holder of %s: %w", f.dir, explain(err))
	}
	if _, err := f.lock.WriteAt(append(data, '\n'), 0); err != nil {
		return fmt.Errorf("write the holder of %s: %w", f.dir, explain(err))
	}
	return nil
}

// Close gives the folder free. The lock file stays: removing it would let two
// processes hold two files of one name.
func (f *Folder) Close() error { return f.lock.Close() }

// Path is the absolute path of a name in the folder; Path() is the folder's.
func (f *Folder) Path(name ...string) string {
	return filepath.Join(append([]string{f.dir}, name...)...)
}

// WriteFile replaces a file of mode 0600 whole: readers, and a crash, see the
// old content or the new.
func (f *Folder) WriteFile(name string, data []byte) error {
	path := f.Path(name)
	// CreateTemp makes it 0600 from the first byte on.
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, explain(err))
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write %s: %w", path, explain(err))
	}
	return nil
}

// Secret is a password kept in the folder, made at the first call: 26 letters
// and digits of base32, 130 random bits, so it needs no quoting anywhere.
func (f *Folder) Secret(name string) (string, error) {
	data, err := os.ReadFile(f.Path(name))
	if err == nil {
		if secret := strings.TrimSpace(string(data)); secret != "" {
			return secret, nil
		}
		return "", fmt.Errorf("the password file %s is empty: remove it to have a new one made", f.Path(name))
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	secret := rand.Text()
	return secret, f.WriteFile(name, []byte(secret+"\n"))
}

// Free is how many bytes the folder's file system has left for us.
func (f *Folder) Free() (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(f.dir, &stat); err != nil {
		return 0, fmt.Errorf("read the free space of %s: %w", f.dir, err)
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}

// RequireFree refuses a file system with less than the given bytes left: a
// store that starts on a full disk fails later and less clearly.
func (f *Folder) RequireFree(least uint64) error {
	free, err := f.Free()
	if err != nil {
		return err
	}
	if free < least {
		return fmt.Errorf("the disk of %s has %d MiB left, at least %d MiB are needed: free some space or choose another data folder", f.dir, free>>20, least>>20)
	}
	return nil
}

// explain says what to do about a full disk; other errors say enough.
func explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: free some space or choose another data folder", err)
	}
	return err
}
