package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"leadevents/auth"
)

// The rotation of the folder's own master key, at a start of dev. A crash between any
// two steps leaves a folder whose next start reads everything:
//
//  1. the key becomes master-key.old too;
//  2. master-key becomes a new one, and dev decrypts with both;
//  3. what is under the old one is encrypted anew, before anybody is served;
//  4. master-key.old goes. A start that finds it begins at 3.
func (d *dev) beginRotation() error {
	if !d.settings.MasterKey.IsZero() {
		return errors.New("--rotate-master-key changes the data folder's own master key, but the settings bring one (master_key): change that, and run `leadevents rotate-master-key`")
	}
	kept, err := d.keptKey(masterKeyFile)
	if err != nil || kept.IsZero() { // the first start: it will be a new one
		return err
	}
	unfinished, err := d.keptKey(oldMasterKeyFile)
	if err != nil {
		return err
	}
	if !unfinished.IsZero() && unfinished.Reveal() != kept.Reveal() {
		return nil // one that was begun is ended now, which is what was asked for
	}
	if err := d.folder.WriteFile(oldMasterKeyFile, []byte(kept.Reveal()+"\n")); err != nil {
		return err
	}
	return d.folder.WriteFile(masterKeyFile, []byte(auth.NewMasterKey().Reveal()+"\n"))
}

// keptKey is the master key in a file of the folder; zero if there is none.
func (d *dev) keptKey(name string) (auth.Secret, error) {
	text, err := os.ReadFile(d.folder.Path(name))
	if errors.Is(err, os.ErrNotExist) {
		return auth.Secret{}, nil
	}
	if err != nil {
		return auth.Secret{}, fmt.Errorf("read the master key: %w", err)
	}
	kept := auth.NewSecret(strings.TrimSpace(string(text)))
	if _, err := auth.ParseMasterKey(kept); err != nil {
		return auth.Secret{}, fmt.Errorf("read %s: %w", d.folder.Path(name), err)
	}
	return kept, nil
}

// oldMasterKey has what a rotation left behind decrypted too.
func (d *dev) oldMasterKey() error {
	old, err := d.keptKey(oldMasterKeyFile)
	s := &d.settings
	switch {
	case err != nil || old.IsZero():
		return err
	case s.OldMasterKey.IsZero():
		s.OldMasterKey = old
	case s.NextMasterKey.IsZero() || s.NextMasterKey.Reveal() == old.Reveal():
		s.NextMasterKey = old // it decrypts too, whatever its name
	default:
		return fmt.Errorf("the data folder's master key is being changed (%s): take old_master_key and next_master_key out of the settings until that is done", d.folder.Path(oldMasterKeyFile))
	}
	return nil
}

// finishRotation is steps 3 and 4, if there is something to finish.
func (d *dev) finishRotation(ctx context.Context, directory *auth.Directory) error {
	old, err := d.keptKey(oldMasterKeyFile)
	if err != nil || old.IsZero() {
		return err
	}
	_, after, err := directory.RotateMasterKey(ctx)
	if err != nil {
		return fmt.Errorf("change the data folder's master key: %w", err)
	}
	if err := os.Remove(d.folder.Path(oldMasterKeyFile)); err != nil {
		return fmt.Errorf("remove the old master key: %w", err)
	}
	d.Log.Info("the master key was changed", "secrets", after.Secrets)
	return nil
}
