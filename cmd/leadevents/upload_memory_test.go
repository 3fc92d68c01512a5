package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"leadevents/internal/storetest"
)

const (
	// uploadRow is a row of an upload: its external id is nearly as long as it may be,
	// so that few rows are many bytes. Who keeps the rows, decoded or not, keeps these.
	uploadRow      = "+1555%07[1]d,%0240[1]d\n"
	uploadRowBytes = 12 + 1 + 240 + 1
	uploadRowCount = 1_200_000

	// uploadMemoryLimit is what the server may hold while one audience is uploaded, less
	// than the upload has: 233 MiB were measured, with uploadHeapLimit, for 1,000,000 rows
	// and for 2,000,000, on a quiet machine and on a busy one.
	uploadMemoryLimit = 260 << 20
	// uploadHeapLimit is more than the server needs, and less than its own limit: on a
	// busy machine the collector is late, and how late would be all that is measured.
	uploadHeapLimit = "GOMEMLIMIT=192MiB"
)

// The server does not hold what it is sent: an upload may be larger than its memory.
func TestAnUploadTakesConstantMemory(t *testing.T) {
	pid, url, key := serveBinary(t, filepath.Join(storetest.Programs(t), "leadevents"), uploadHeapLimit)
	if err := uploadRows(t.Context(), url, key, uploadRowCount); err != nil {
		t.Fatal(err)
	}
	peak := highWater(t, pid)
	t.Logf("the server's high water mark: %d MiB", peak>>20)
	if peak > uploadMemoryLimit {
		t.Errorf("the server has held %d MiB for an upload of %d; the limit is %d", peak>>20, uploadRowCount*uploadRowBytes>>20, uploadMemoryLimit>>20)
	}
}

// uploadRows replaces an audience by that many rows, made as they are sent.
func uploadRows(ctx context.Context, url, key string, rows int) error {
	reader, writer := io.Pipe()
	go func() {
		_, err := io.WriteString(writer, "phone,externalId\n")
		var block []byte
		for i := 0; i < rows && err == nil; i++ {
			block = fmt.Appendf(block, uploadRow, i)
			if len(block) > 60<<10 || i == rows-1 {
				_, err = writer.Write(block)
				block = block[:0]
			}
		}
		_ = writer.CloseWithError(err)
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, url+"/api/v1/audiences/memory/leads", reader)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "text/csv")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(text), fmt.Sprintf(`"stored":%d,`, rows)) {
		return fmt.Errorf("%d rows: %d %s (%v)", rows, response.StatusCode, text, err)
	}
	return nil
}
