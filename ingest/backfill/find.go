package backfill

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"leadevents"
)

// identityBytes is how much of a file its identity is made of, and what
// formats are told from.
const identityBytes = 1 << 20

// Endings, without those of compressions. Files of a directory must have one;
// others are told by content. Not ".json" in directories: that is also what a
// checkpoint or a settings file may be called.
var endings = map[string]string{
	".csv": CSV, ".tsv": CSV, ".ndjson": NDJSON, ".jsonl": NDJSON, ".json": NDJSON, ".parquet": Parquet,
}

var compressionEndings = map[string]string{".gz": Gzip, ".gzip": Gzip, ".zst": Zstd, ".zstd": Zstd}

// rejectsEnding is of what a run writes beside its files: only read if named.
const rejectsEnding = ".rejects.ndjson"

func find(args []string) ([]File, error) {
	var files []File
	seen := map[string]bool{}
	for _, arg := range args {
		names, err := expand(arg)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			clean := name
			if name != Stdin {
				clean = filepath.Clean(name)
			}
			if seen[clean] {
				continue
			}
			seen[clean] = true
			f, err := identify(name)
			if err != nil {
				return nil, err
			}
			files = append(files, f)
		}
	}
	if len(files) == 0 {
		return nil, leadevents.Errorf(leadevents.InvalidRequest, "there is no file to read: name files, directories, globs, or %s for standard input", Stdin)
	}
	return files, nil
}

// expand is the files of one argument, sorted.
func expand(arg string) ([]string, error) {
	if arg == Stdin {
		return []string{Stdin}, nil
	}
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		return directory(arg)
	case err == nil:
		return []string{arg}, nil
	case !errors.Is(err, fs.ErrNotExist) || !strings.ContainsAny(arg, "*?["):
		return nil, leadevents.Errorf(leadevents.InvalidRequest, "open a file: %w", err)
	}
	matches, err := filepath.Glob(arg) // sorted
	if err != nil {
		return nil, leadevents.Errorf(leadevents.InvalidRequest, "%q is not a glob: %w", arg, err)
	}
	var names []string
	for _, name := range matches {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() && !hidden(filepath.Base(name)) && !strings.HasSuffix(name, rejectsEnding) {
			names = append(names, name)
		}
	}
	if names == nil {
		return nil, leadevents.Errorf(leadevents.InvalidRequest, "no file matches %q", arg)
	}
	return names, nil
}

// directory is the files of a directory and of its directories that have a
// known ending, sorted by path.
func directory(dir string) ([]string, error) {
	var names []string
	for _, pattern := range []string{"*", "*/*"} {
		entries, err := fs.Glob(os.DirFS(dir), pattern)
		if err != nil {
			return nil, fmt.Errorf("read the directory %s: %w", dir, err)
		}
		for _, entry := range entries {
			if hidden(entry) || strings.HasSuffix(entry, rejectsEnding) || formatOfName(entry) == "" || endingOf(entry) == ".json" {
				continue
			}
			name := filepath.Join(dir, entry)
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
				names = append(names, name)
			}
		}
	}
	if names == nil {
		return nil, leadevents.Errorf(leadevents.InvalidRequest, "the directory %s has no file that ends in .csv, .tsv, .ndjson, .jsonl or .parquet, also with .gz or .zst behind it", dir)
	}
	sortNames(names)
	return names, nil
}

func hidden(entry string) bool {
	return strings.HasPrefix(entry, ".") || strings.Contains(entry, "/.")
}

// formatOfName is the format that a name's ending tells, or "".
func formatOfName(name string) string {
	return endings[endingOf(name)]
}

// endingOf is a name's ending, before that of a compression.
func endingOf(name string) string {
	name = strings.ToLower(name)
	ending := filepath.Ext(name)
	if compressionEndings[ending] != "" {
		ending = filepath.Ext(strings.TrimSuffix(name, ending))
	}
	return ending
}

// identify reads a file's beginning: its identity, format and compression.
func identify(name string) (File, error) {
	if name == Stdin {
		return File{Name: Stdin}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return File{}, leadevents.Errorf(leadevents.InvalidRequest, "open a file: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return File{}, fmt.Errorf("ask for the size of %s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return File{}, leadevents.Errorf(leadevents.InvalidRequest, "%s is not a file; pipes are read from standard input, as %s", name, Stdin)
	}
	head, err := io.ReadAll(io.LimitReader(f, identityBytes))
	if err != nil {
		return File{}, fmt.Errorf("read the beginning of %s: %w", name, err)
	}
	file := File{Name: name, Size: info.Size(), ModTime: info.ModTime().UTC(), Compression: compressionOf(head)}
	file.Head = sha256.Sum256(binary.LittleEndian.AppendUint64(head, uint64(info.Size())))

	text := head
	if file.Compression != Plain {
		if text, err = decompressedHead(head, file.Compression); err != nil {
			// Broken from its beginning: whoever opens it is told so.
			text = nil
		}
	}
	file.Format = formatOf(name, text)
	return file, nil
}

// decompressedHead is the beginning of what a compressed beginning holds.
func decompressedHead(head []byte, compression string) ([]byte, error) {
	var d decompressors
	defer d.close()
	r, err := d.read(bytes.NewReader(head), compression)
	if err != nil {
		return nil, err
	}
	text := make([]byte, 64)
	n, err := io.ReadFull(r, text)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return text[:n], err
}

// compressionOf tells a compression by its magic number.
func compressionOf(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte{0x1F, 0x8B}):
		return Gzip
	case bytes.HasPrefix(head, []byte{0x28, 0xB5, 0x2F, 0xFD}):
		return Zstd
	case len(head) >= 8 && head[0]&0xF0 == 0x50 && bytes.HasPrefix(head[1:], []byte{0x2A, 0x4D, 0x18}): // a skippable frame, as pzstd begins
		return Zstd
	}
	return Plain
}

// formatOf tells a format by its decompressed beginning, by its name where that
// says nothing: neither a file of rejects nor an empty one begins with a brace.
func formatOf(name string, head []byte) string {
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte(byteOrderMark)), " \t\r\n")
	switch {
	case bytes.HasPrefix(head, []byte("PAR1")):
		return Parquet
	case bytes.HasPrefix(text, []byte("{")):
		return NDJSON
	}
	if format := formatOfName(name); format != "" && format != Parquet {
		return format
	}
	if bytes.HasPrefix(text, []byte("[{")) {
		return NDJSON
	}
	return CSV
}

// checkSame compares names, sizes and beginnings. Not the times: a file that
// was copied, or touched, is the same.
func checkSame(files, earlier []File) error {
	if len(files) != len(earlier) {
		return leadevents.Errorf(leadevents.Conflict, "there are %d files, the run was begun with %d: name the same files, or begin another run", len(files), len(earlier))
	}
	for i, f := range files {
		e := earlier[i]
		switch {
		case f.Name != e.Name:
			return leadevents.Errorf(leadevents.Conflict, "file %d is %s, the run was begun with %s there: name the same files in the same order, or begin another run", i+1, f.Name, e.Name)
		case f.Size != e.Size:
			return leadevents.Errorf(leadevents.Conflict, "%s has changed since the run was begun: it had %d bytes, it has %d", f.Name, e.Size, f.Size)
		case f.Head != e.Head:
			return leadevents.Errorf(leadevents.Conflict, "%s has changed since the run was begun: its first MiB is another", f.Name)
		}
	}
	return nil
}
