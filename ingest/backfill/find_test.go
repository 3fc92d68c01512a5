package backfill

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leadevents"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.csv", "a.ndjson.gz", "c.PARQUET", "notes.txt", "state.json", ".hidden.csv", "b.csv.rejects.ndjson", "2025/d.tsv.zst", "2025/e.jsonl", "2025/deeper/f.csv", ".git/g.csv", "odd[1].csv"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("phone,date\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := func(names ...string) []string {
		for i, name := range names {
			names[i] = filepath.Join(dir, name)
		}
		return names
	}
	for _, c := range []struct {
		name       string
		args, want []string
	}{
		{"a directory", []string{dir}, in("2025/d.tsv.zst", "2025/e.jsonl", "a.ndjson.gz", "b.csv", "c.PARQUET", "odd[1].csv")},
		{"a glob", in("*.csv"), in("b.csv", "odd[1].csv")},
		{"a glob without rejects", in("b*"), in("b.csv")},
		{"rejects by name", in("b.csv.rejects.ndjson"), in("b.csv.rejects.ndjson")},
		{"a name that is also a glob", in("odd[1].csv"), in("odd[1].csv")},
		{"in the order given, once", in("c.PARQUET", "b.csv", "./b.csv", "2025/../c.PARQUET"), in("c.PARQUET", "b.csv")},
		{"any ending by name", in("notes.txt"), in("notes.txt")},
		{"standard input", []string{"-"}, []string{"-"}},
	} {
		var got []string
		for _, f := range findAll(t, c.args...) {
			got = append(got, f.Name)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	for name, says := range map[string]string{
		filepath.Join(dir, "none.csv"):    "no such file",
		filepath.Join(dir, "none*"):       "no file matches",
		filepath.Join(dir, "2025/deeper"): "",
		filepath.Join(dir, "[x"):          "is not a glob",
		filepath.Join(dir, ".git/.."):     "",
		os.DevNull:                        "is not a file",
	} {
		_, err := Find([]string{name})
		if (says == "") != (err == nil) || err != nil && (leadevents.KindOf(err) != leadevents.InvalidRequest || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
	}
	empty := t.TempDir()
	for _, args := range [][]string{{empty}, nil} {
		if _, err := Find(args); leadevents.KindOf(err) != leadevents.InvalidRequest {
			t.Errorf("Find(%v): %v", args, err)
		}
	}
}

func TestFormatsAreToldByContent(t *testing.T) {
	ndjson, csv := []byte(`{"phone":"+1555","date":1}`), []byte("phone,date\n")
	parquet := parquetFile(t, []benchEvent{{Phone: "+1555"}})
	for _, c := range []struct {
		name                string
		content             []byte
		format, compression string
	}{
		{"a", ndjson, NDJSON, Plain},
		{"a.csv", ndjson, NDJSON, Plain},
		{"a.csv", gzipped(t, append([]byte("\xEF\xBB\xBF \n"), ndjson...)), NDJSON, Gzip},
		{"a.gz", csv, CSV, Plain},
		{"a.ndjson", csv, NDJSON, Plain}, // a first line that is broken
		{"a.ndjson.gz", zstded(t, csv), NDJSON, Zstd},
		{"a.json", []byte(`[{"phone"`), NDJSON, Plain},
		{"a", csv, CSV, Plain},
		{"a", nil, CSV, Plain},
		{"a", parquet, Parquet, Plain},
		{"a.csv", gzipped(t, parquet), Parquet, Gzip},
		{"a.parquet", csv, CSV, Plain},
		{"a.csv.gz", gzipped(t, csv)[:15], CSV, Gzip}, // cut off
		{"a.zst", append([]byte{0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 9}, zstded(t, ndjson)...), NDJSON, Zstd},
	} {
		f := findAll(t, write(t, c.name, c.content))[0]
		if f.Format != c.format || f.Compression != c.compression {
			t.Errorf("%s, %.20q: %s, %s; want %s, %s", c.name, c.content, f.Format, f.Compression, c.format, c.compression)
		}
		if want := sha256.Sum256(binary.LittleEndian.AppendUint64(append([]byte(nil), c.content...), uint64(len(c.content)))); f.Head != want || f.Size != int64(len(c.content)) || f.ModTime.IsZero() {
			t.Errorf("%s: its identity is %+v", c.name, f)
		}
	}
}

func TestFilesThatChanged(t *testing.T) {
	long := strings.Repeat("x", 2<<20)
	files := func(contents ...string) []File {
		var all []File
		for i, content := range contents {
			f := findAll(t, write(t, "f", []byte(content)))[0]
			f.Name = string(rune('a' + i))
			all = append(all, f)
		}
		return all
	}
	renamed := files("1", long)
	renamed[1].Name = "c"
	for _, c := range []struct {
		name string
		now  []File
		says string
	}{
		{"the same", files("1", long), ""},
		{"longer", files("1", long+"y"), "b has changed since the run was begun: it had 2097152 bytes, it has 2097153"},
		{"another beginning", files("2", long), "a has changed since the run was begun: its first MiB is another"},
		{"one less", files("1"), "there are 1 files, the run was begun with 2"},
		{"another name", renamed, "file 2 is c, the run was begun with b there"},
	} {
		err := CheckSame(c.now, files("1", long))
		if (c.says == "") != (err == nil) || err != nil && (leadevents.KindOf(err) != leadevents.Conflict || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
