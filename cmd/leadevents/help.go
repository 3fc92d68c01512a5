package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpWidth is that of help: of a terminal, or a page of documentation.
const helpWidth = 80

// printHelp prints what a command says of itself. Its paragraphs are filled to the width,
// wherever their lines end in the source; what is indented stays as it is.
func printHelp(cmd *cobra.Command, _ []string) {
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	var b, paragraph strings.Builder
	end := func() {
		if paragraph.Len() > 0 {
			var filled strings.Builder
			fill(&filled, 0, 0, paragraph.String())
			b.WriteString(filled.String() + "\n")
			paragraph.Reset()
		}
	}
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" || line[0] == ' ' {
			end()
			b.WriteString(strings.TrimRight(line, " \n") + "\n")
			continue
		}
		paragraph.WriteString(line)
		if !strings.HasSuffix(line, "\n") {
			paragraph.WriteByte('\n')
		}
	}
	end()
	_, _ = io.WriteString(cmd.OutOrStdout(), b.String()+"\n"+cmd.UsageString())
}

// usage is cobra's, in 80 columns: flags without "[=true|false]", and their texts beside
// them in a column that is wrapped.
func usage(cmd *cobra.Command) error {
	var b strings.Builder
	b.WriteString("Usage:")
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n  %s COMMAND [flags]", cmd.CommandPath())
	} else {
		fmt.Fprintf(&b, "\n  %s", cmd.UseLine())
	}
	if cmd.HasExample() {
		fmt.Fprintf(&b, "\n\nExamples:\n%s", cmd.Example)
	}
	if groups := cmd.Groups(); len(groups) > 0 {
		for _, group := range groups {
			b.WriteString("\n\n" + group.Title)
			commands(&b, cmd, group.ID)
		}
	} else if cmd.HasAvailableSubCommands() {
		b.WriteString("\n\nCommands:")
		commands(&b, cmd, "")
	}
	if cmd.HasAvailableLocalFlags() {
		b.WriteString("\n\nFlags:")
		flags(&b, cmd.LocalFlags())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n\n`%s COMMAND --help` says more about a command.", cmd.CommandPath())
	}
	_, err := io.WriteString(cmd.OutOrStderr(), b.String()+"\n")
	return err
}

func commands(b *strings.Builder, cmd *cobra.Command, group string) {
	for _, below := range cmd.Commands() {
		if below.GroupID == group && (below.IsAvailableCommand() || below.Name() == "help") {
			entry(b, "  "+below.Name(), cmd.Commands()[0].NamePadding()+4, below.Short)
		}
	}
}

func flags(b *strings.Builder, set *pflag.FlagSet) {
	const widest = 26 // a longer name has its text on the next line
	names, texts := []string{}, []string{}
	column := 0
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, text := pflag.UnquoteUsage(f)
		name := "  --" + f.Name
		if f.Shorthand != "" {
			name = "  -" + f.Shorthand + ", --" + f.Name
		}
		if value != "" {
			name += " " + value
		}
		switch f.DefValue {
		case "", "false", "0", "[]":
		default:
			text += " (default " + f.DefValue + ")"
		}
		names, texts = append(names, name), append(texts, text)
		if len(name) <= widest {
			column = max(column, len(name)+2)
		}
	})
	for i, name := range names {
		entry(b, name, column, texts[i])
	}
}

// entry is a name, and a text in a column beside it.
func entry(b *strings.Builder, name string, column int, text string) {
	line := "\n" + name + strings.Repeat(" ", max(column-len(name), 0))
	if len(name) > column-2 {
		line = "\n" + name + "\n" + strings.Repeat(" ", column)
	}
	b.WriteString(line)
	fill(b, column, column, text)
}

// fill writes a text's words from a place on, and wraps them in a column.
func fill(b *strings.Builder, at, column int, text string) {
	for i, word := range strings.Fields(text) {
		width := runewidth.StringWidth(word)
		switch {
		case i == 0:
		case at+1+width > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", column))
			at = column
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += width
	}
}
