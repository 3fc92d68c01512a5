package backfill

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"leadevents"
)

// Counts are rows by what became of them: Rows = Inserted + Duplicates + Rejected.
type Counts struct {
	Rows       uint64 `json:"rows"`
	Inserted   uint64 `json:"inserted"`
	Duplicates uint64 `json:"duplicates"`
	Rejected   uint64 `json:"rejected"`
	Batches    uint64 `json:"batches"` // calls that were answered
}

func (c *Counts) add(d Counts) {
	c.Rows += d.Rows
	c.Inserted += d.Inserted
	c.Duplicates += d.Duplicates
	c.Rejected += d.Rejected
	c.Batches += d.Batches
}

// answered is what a batch behind the mark was told, by its Idempotency-Key.
type answered struct {
	BatchID    string `json:"batchId"`
	Received   uint64 `json:"received"`
	Inserted   uint64 `json:"inserted"`
	Duplicates uint64 `json:"duplicates"`
	Rejected   uint64 `json:"rejected"`
}

// checkpoint is how far a run is, as it lies on the disk. Everything before the mark is
// answered, counted and, where it was rejected, in the rejects file. What is answered behind it is
// kept too; what is on its way is sent again, and answered as the first attempt was or would have been, by
// its Idempotency-Key.
type checkpoint struct {
	Version      int                 `json:"version"`
	Run          string              `json:"run"`
	Organization leadevents.OrgID    `json:"organizationId"`
	Files        []File              `json:"files"`
	Mapping      map[string]string   `json:"mapping"`
	Limits       limits              `json:"limits"`
	Encoding     string              `json:"encoding"`
	Mark         Position            `json:"mark"`
	Counts       Counts              `json:"counts"`
	RejectsBytes int64               `json:"rejectsBytes"`
	Answered     map[string]answered `json:"answered,omitempty"`
	Seconds      float64             `json:"seconds"` // of work, over all attempts
	StartedAt    time.Time           `json:"startedAt"`
	Done         bool                `json:"done"`
}

// wholeHead is up to which size File.Head is of the whole file.
const wholeHead = 1 << 20

// checkpointVersion changes when the same rows would be cut into other bodies.
const checkpointVersion = 2

// describe is a mapping as the flags that make it, to compare and to show.
func describe(m Mapping) map[string]string {
	all := map[string]string{}
	for flag, value := range map[string]string{
		FlagPhone: m.Phone, FlagOccurredAt: m.OccurredAt, FlagTypeColumn: m.EventType, FlagEventType: m.FixedType,
		FlagRegion: m.Region, FlagTimeFormat: m.TimeFormat, FlagMetadata: strings.Join(m.Metadata, ","),
	} {
		if value != "" {
			all[flag] = value
		}
	}
	if m.TimeZone != nil {
		all[FlagTimeZone] = m.TimeZone.String()
	}
	if m.NoMetadata {
		all[FlagNoMetadata] = "true"
	}
	if m.Typed {
		all[FlagTyped] = "true"
	}
	return all
}

// FlagNoMetadata names the flag for Mapping.NoMetadata.
const FlagNoMetadata = "no-metadata"

// readCheckpoint reads a checkpoint; nil if there is none.
func readCheckpoint(path string) (*checkpoint, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint: %w", err)
	}
	var c checkpoint
	if err := json.Unmarshal(text, &c); err != nil || c.Run == "" {
		return nil, fmt.Errorf("%s is not the checkpoint of a backfill (%v): --state names another file, --restart begins anew and replaces it", path, err)
	}
	if c.Version != checkpointVersion {
		return nil, fmt.Errorf("%s was written by a leadevents that cuts batches otherwise (version %d, this one has %d): end run %s with that one, or begin anew with --restart", path, c.Version, checkpointVersion, c.Run)
	}
	return &c, nil
}

// write replaces the checkpoint: after a crash, of the power too, there is the old one or the new one.
func (c *checkpoint) write(path string) error {
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	if err := replace(path, append(text, '\n')); err != nil {
		return fmt.Errorf("write the checkpoint (--state names another file): %w", err)
	}
	return nil
}

func replace(path string, text []byte) (err error) {
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// differences are the sentences that say why a run cannot go on with what it is given now.
func (c *checkpoint) differences(now *checkpoint) []string {
	var all []string
	differ := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if err := CheckSame(now.Files, c.Files); err != nil {
		differ("%v", err)
	} else {
		for i, was := range c.Files {
			// Of a longer file nothing tells what stands behind its beginning but the time.
			if is := now.Files[i]; is.Size > wholeHead && !is.ModTime.Equal(was.ModTime) {
				differ("%s was changed at %s, the run was begun with what it was at %s", is.Name, is.ModTime.UTC().Format(time.RFC3339), was.ModTime.UTC().Format(time.RFC3339))
			}
		}
	}
	if c.Organization != now.Organization {
		differ("the run is of organization %s, the credential of %s", c.Organization, now.Organization)
	}
	names := map[string]bool{}
	for name := range c.Mapping {
		names[name] = true
	}
	for name := range now.Mapping {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if was, is := c.Mapping[name], now.Mapping[name]; was != is {
			differ("--%s was %q, now it is %q", name, was, is)
		}
	}
	return all
}
