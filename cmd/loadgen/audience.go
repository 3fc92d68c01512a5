package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/internal/loadgen"
)

func newAudience() *cobra.Command {
	var (
		seed, first, leads  uint64
		format, compression string
	)
	cmd := &cobra.Command{
		Use:   "audience",
		Short: "write the leads of the pool, as an audience is uploaded, to standard output",
		Long:  "Write the leads of the pool, as an audience is uploaded, to standard output: the phones that the events\nof the same --seed have, the busiest lead first. Of 10 million leads about 2 % share a phone with another.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Only the pool of leads is asked for: times do not matter.
			g, err := loadgen.New(loadgen.Config{Seed: seed, Org: 1, Leads: first + leads, Times: loadgen.Live(leadevents.MaxOccurredAt)})
			if err != nil {
				return err
			}
			return writeAudience(cmd.OutOrStdout(), g, first, leads, format, compression)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&seed, "seed", 1, "the same seed makes the same leads")
	f.Uint64Var(&first, "first", 0, "number of the first lead")
	f.Uint64Var(&leads, "leads", 1_000_000, "how many leads")
	f.StringVar(&format, "format", "csv", "csv, ndjson or json")
	f.StringVar(&compression, "compression", "none", "none, gzip or zstd")
	return cmd
}

// audienceForms is what stands around the leads, and around the phone and the id of each.
var audienceForms = map[string]struct{ head, before, id, next, tail string }{
	"csv":    {head: "phoneE164,externalId\n", id: ",crm-", next: "\n", tail: "\n"},
	"ndjson": {before: `{"phoneE164":"`, id: `","externalId":"crm-`, next: "\"}\n", tail: "\"}\n"},
	"json":   {head: `{"leads":[`, before: `{"phoneE164":"`, id: `","externalId":"crm-`, next: `"},`, tail: `"}]}`},
}

func writeAudience(w io.Writer, g *loadgen.Generator, first, leads uint64, format, compression string) error {
	form, ok := audienceForms[format]
	if !ok {
		return fmt.Errorf("--format %q is none of csv, ndjson and json", format)
	}
	if leads == 0 {
		return errors.New("--leads must be above 0")
	}
	out, err := compressed(w, compression)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(out, 1<<16)
	line := []byte(form.head)
	for i := first; i < first+leads; i++ {
		line = g.Phone(i).AppendTo(append(line, form.before...))
		line = strconv.AppendUint(append(line, form.id...), i, 10)
		if i < first+leads-1 {
			line = append(line, form.next...)
		} else {
			line = append(line, form.tail...)
		}
		if _, err := buffered.Write(line); err != nil {
			return fmt.Errorf("write lead %d: %w", i, err)
		}
		line = line[:0]
	}
	if err := errors.Join(buffered.Flush(), out.Close()); err != nil {
		return fmt.Errorf("end the audience: %w", err)
	}
	return nil
}
