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

// uploadMemoryLimit is what the server may hold while one audience is uploaded:
// 117 MiB were measured for ten million rows, and 114 for a million
// (make bench-audience).
const uploadMemoryLimit = 180 << 20

// Six times as many rows take no more memory.
func TestAnUploadTakesConstantMemory(t *testing.T) {
	pid, url, key := serveBinary(t, filepath.Join(storetest.Programs(t), "leadevents"))
	var peaks []int64
	for _, rows := range []int{500_000, 3_000_000} {
		if err := uploadRows(t.Context(), url, key, rows); err != nil {
			t.Fatal(err)
		}
		peaks = append(peaks, highWater(t, pid))
	}
	t.Logf("the server's high water marks: %d and %d MiB", peaks[0]>>20, peaks[1]>>20)
	if peaks[1] > uploadMemoryLimit || peaks[1] > peaks[0]+64<<20 {
		t.Errorf("the server has held %d MiB, and %d before; the limit is %d", peaks[1]>>20, peaks[0]>>20, uploadMemoryLimit>>20)
	}
}

// uploadRows replaces an audience by that many rows, made as they are sent.
func uploadRows(ctx context.Context, url, key string, rows int) error {
	reader, writer := io.Pipe()
	go func() {
		_, err := io.WriteString(writer, "phone,externalId\n")
		var block []byte
		for i := 0; i < rows && err == nil; i++ {
			block = fmt.Appendf(block, "+1555%07d,customer-%d\n", i, i)
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
