package app

import (
	"fmt"
	"io"
	"log/slog"

	"leadevents/configs"
)

// NewLogger writes to w what the settings ask for.
func NewLogger(s configs.Log, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.Level)); err != nil {
		return nil, fmt.Errorf("read log.level: %w", err)
	}
	options := &slog.HandlerOptions{Level: level}
	if s.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return slog.New(slog.NewTextHandler(w, options)), nil
}
