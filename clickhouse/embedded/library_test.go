package embedded_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leadevents/clickhouse/embedded"
)

// engine is the real library.
func engine(t *testing.T) string {
	t.Helper()
	path, err := embedded.FindLibrary("")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// write makes a file in a new folder.
func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// foreign is an ELF header and nothing else, of a shared library for arm64.
func foreign() []byte {
	header := make([]byte, 64)
	copy(header, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(header[16:], 3)   // ET_DYN
	binary.LittleEndian.PutUint16(header[18:], 183) // EM_AARCH64
	binary.LittleEndian.PutUint32(header[20:], 1)
	binary.LittleEndian.PutUint16(header[52:], 64)
	binary.LittleEndian.PutUint16(header[54:], 56)
	binary.LittleEndian.PutUint16(header[58:], 64)
	return header
}

func TestAnUnusableLibraryIsAnErrorThatSaysWhatToDo(t *testing.T) {
	whole, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	libc, err := filepath.Glob("/lib/x86_64-linux-gnu/libc.so.6")
	if err != nil || len(libc) != 1 {
		t.Fatalf("no libc found: %v %v", libc, err)
	}
	cut := write(t, foreign())
	if err := os.WriteFile(cut+".json", []byte(`{"version":"x","bytes":100,"sha256":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, library, want string }{
		{"missing", filepath.Join(t.TempDir(), "libchdb.so"), "does not exist: run `make build`"},
		{"for another processor", write(t, foreign()), "made for EM_AARCH64, this program runs on amd64: run `make build`"},
		{"not a library", write(t, []byte("<html>captive portal</html>")), "is damaged (it is no whole ELF library"},
		{"cut off", write(t, whole[:len(whole)/2]), "is damaged (it is no whole ELF library"},
		{"of another size than recorded", cut, "is damaged (it has 64 bytes instead of 100): remove its folder, then run `make build`"},
		{"another library", libc[0], "cannot be loaded: remove its folder, then run `make build`"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(t.TempDir())
			cfg.Library = test.library
			_, err := embedded.Start(t.Context(), cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.library) {
				t.Errorf("got %v\nwant an error with %q and the path", err, test.want)
			}
		})
	}
}

func TestTheLibraryIsLookedForInOrder(t *testing.T) {
	real := engine(t)
	data := foreign()
	data[18] = 62 // EM_X86_64
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv(embedded.LibraryVariable, "")
	if _, err := embedded.FindLibrary(""); err == nil || !strings.Contains(err.Error(), "is not installed") || !strings.Contains(err.Error(), cache) {
		t.Errorf("nothing anywhere: %v, want an error that names the places", err)
	}
	cached := filepath.Join(cache, "leadevents", "engine", embedded.Version(), "libchdb.so")
	if err := os.MkdirAll(filepath.Dir(cached), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cached, data, 0o600); err != nil {
		t.Fatal(err)
	}
	find := func(named, want string) {
		t.Helper()
		if got, err := embedded.FindLibrary(named); err != nil || got != want {
			t.Errorf("named %q: %q, %v; want %q", named, got, err, want)
		}
	}
	find("", cached)
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(filepath.Dir(executable), "libchdb.so")
	if err := os.Symlink(real, beside); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(beside) })
	find("", beside)
	variable := write(t, data)
	t.Setenv(embedded.LibraryVariable, variable)
	find("", variable)
	find(real, real)
	t.Setenv(embedded.LibraryVariable, "/nowhere/libchdb.so")
	if got, err := embedded.FindLibrary(""); err == nil {
		t.Errorf("a named library that is missing was replaced by %s", got)
	}
}

func TestVerifyReadsTheWholeLibrary(t *testing.T) {
	data := foreign()
	data[18] = 62
	path := write(t, data)
	if err := embedded.VerifyLibrary(path); err == nil || !strings.Contains(err.Error(), "no recorded SHA-256") {
		t.Errorf("without a record: %v", err)
	}
	record := func(sum string) {
		t.Helper()
		if err := os.WriteFile(path+".json", fmt.Appendf(nil, `{"version":"x","bytes":%d,"sha256":"%s"}`, len(data), sum), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	record(strings.Repeat("0", 64))
	if err := embedded.VerifyLibrary(path); err == nil || !strings.Contains(err.Error(), "is damaged (its SHA-256 is not the recorded one)") {
		t.Errorf("another sum: %v", err)
	}
	record(sum(data))
	if err := embedded.VerifyLibrary(path); err != nil {
		t.Errorf("the right sum: %v", err)
	}
}
