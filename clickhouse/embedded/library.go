package embedded

import (
	"crypto/sha256"
	"debug/elf"
	_ "embed" // the pinned version
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

//go:embed npm/package.json
var packageJSON []byte

const (
	libraryName = "libchdb.so"
	// LibraryVariable names an engine library of one's own in the environment.
	LibraryVariable = "LEADEVENTS_ENGINE_LIBRARY"
	packageName     = "@chdb/lib-linux-x64-gnu"
	fetchAdvice     = "run `make build`, which fetches it, or set " + LibraryVariable
)

// Version is the pinned version of the engine's package ("26.7.3-stable.1").
func Version() string {
	var manifest struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	if err := json.Unmarshal(packageJSON, &manifest); err != nil {
		panic("npm/package.json, compiled in, is not JSON: " + err.Error())
	}
	return manifest.Dependencies[packageName]
}

// errPlatform says what to do where the package does not exist.
func errPlatform() error {
	return fmt.Errorf("the embedded ClickHouse %s exists for linux/amd64 with glibc only, not for %s/%s: run a ClickHouse server and Redis (docker compose up) and use `leadevents serve --config FILE`", Version(), runtime.GOOS, runtime.GOARCH)
}

// FindLibrary looks for the engine: the given path if it is not empty, then
// the environment's LEADEVENTS_ENGINE_LIBRARY, then libchdb.so beside the
// executable, then the user's cache, where `make build` puts it. A named
// library is never replaced by another one.
func FindLibrary(named string) (string, error) {
	if named == "" {
		named = os.Getenv(LibraryVariable)
	}
	if named != "" {
		if err := checkLibrary(named); err != nil {
			return "", err
		}
		return named, nil
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", errPlatform()
	}
	candidates, err := places()
	if err != nil {
		return "", err
	}
	for _, path := range candidates {
		err := checkLibrary(path)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", err // there, and broken: say so rather than look further
		}
	}
	return "", fmt.Errorf("the engine %s %s is not installed (looked for %v): %s", packageName, Version(), candidates, fetchAdvice)
}

func places() ([]string, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find our own executable: %w", err)
	}
	list := []string{filepath.Join(filepath.Dir(executable), libraryName)}
	if cache, err := os.UserCacheDir(); err == nil { // without HOME there is none
		list = append(list, filepath.Join(cache, "leadevents", "engine", Version(), libraryName))
	}
	return list, nil
}

// fingerprint is what the fetch script recorded beside the library, after npm
// had checked the package's sha512.
type fingerprint struct {
	Version string `json:"version"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
}

// readFingerprint is nil for a library that somebody put there himself.
func readFingerprint(path string) (*fingerprint, error) {
	real, err := filepath.EvalSymlinks(path) // bin/libchdb.so points into the cache
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(real + ".json")
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the fingerprint of the engine: %w", err)
	}
	var f fingerprint
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, broken(path, fmt.Sprintf("its fingerprint %s.json is not JSON", real))
	}
	return &f, nil
}

func broken(path, why string) error {
	return fmt.Errorf("the engine's library %s is damaged (%s): remove its folder, then %s", path, why, fetchAdvice)
}

// checkLibrary finds what can be found without reading half a gigabyte: the
// file is there, whole by its size, and made for this processor.
func checkLibrary(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the engine's library %s does not exist: %s: %w", path, fetchAdvice, os.ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("examine the engine's library: %w", err)
	}
	print, err := readFingerprint(path)
	if err != nil {
		return err
	}
	if print != nil && print.Bytes != info.Size() {
		return broken(path, fmt.Sprintf("it has %d bytes instead of %d", info.Size(), print.Bytes))
	}
	// Reading the headers also finds a cut file: the section table is its end.
	library, err := elf.Open(path)
	if err != nil {
		return broken(path, fmt.Sprintf("it is no whole ELF library: %v", err))
	}
	defer func() { _ = library.Close() }()
	want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	if library.Machine != want || library.Type != elf.ET_DYN {
		return fmt.Errorf("the engine's library %s is made for %v, this program runs on %s: %s", path, library.Machine, runtime.GOARCH, fetchAdvice)
	}
	return nil
}

// VerifyLibrary reads the whole library (some seconds) and compares it with
// the SHA-256 recorded when it was fetched. It is an error if none is recorded.
func VerifyLibrary(path string) error {
	if err := checkLibrary(path); err != nil {
		return err
	}
	print, err := readFingerprint(path)
	if err != nil {
		return err
	}
	if print == nil {
		return fmt.Errorf("the engine's library %s has no recorded SHA-256 beside it: it was not put there by `make build`", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the engine's library: %w", err)
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return fmt.Errorf("read the engine's library: %w", err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != print.SHA256 {
		return broken(path, "its SHA-256 is not the recorded one")
	}
	return nil
}
