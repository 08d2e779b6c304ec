// tlog_verify checks a published audit log with the Go checksum database's libraries
// (golang.org/x/mod/sumdb), which know nothing of this project.
//
//	tlog_verify [-key VKEY] [-policy FILE] [-old CHECKPOINT] DIR
//	tlog_verify -key VKEY [-policy FILE] -proof FILE
//
// It opens DIR/checkpoint as a signed note with the key (without -key: of DIR/vkey), hashes every
// entry of the bundles, computes the root, compares every hash tile with the one it computes
// itself, and proves records and older trees through the tiles, which must touch no more tiles
// than the format wants. With -policy every witness that the file names must have cosigned; with
// -old the log must begin with the older one. A proof file (c2sp.org/tlog-proof@v1) is checked by
// itself. Exit status 0: all agree.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

func die(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, "tlog_verify: "+format+"\n", args...)
	os.Exit(1)
}

// c2spPath drops the height from x/mod's tile path: tile/8/0/000 is tile/0/000 there.
func c2spPath(tile tlog.Tile) string {
	return "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
}

// bundlePath is the path of the entries below the level-0 tile.
func bundlePath(tile tlog.Tile) string {
	return "tile/entries/" + strings.TrimPrefix(tile.Path(), "tile/8/0/")
}

// readBundle reads a bundle that is stored as a gzip member, as it is served with that
// Content-Encoding, or plain.
func readBundle(dir, path string) []byte {
	data, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		die("%v", err)
	}
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b, 8}) {
		return data
	}
	rest := bytes.NewReader(data)
	member, err := gzip.NewReader(rest)
	if err != nil {
		die("%s: %v", path, err)
	}
	member.Multistream(false)
	plain, err := io.ReadAll(member)
	if err != nil {
		die("%s: %v", path, err)
	}
	if rest.Len() != 0 {
		die("%s: bytes behind the gzip member", path)
	}
	return plain
}

// tiles reads hash tiles for tlog.TileHashReader, which authenticates each against the root.
type tiles struct {
	dir  string
	read int
}

func (t *tiles) Height() int                { return tileHeight }
func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (t *tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range want {
		data, err := os.ReadFile(filepath.Join(t.dir, c2spPath(tile)))
		if os.IsNotExist(err) && tile.W < 1<<tileHeight {
			full := tile
			full.W = 1 << tileHeight
			data, err = os.ReadFile(filepath.Join(t.dir, c2spPath(full)))
			if err == nil {
				data = data[:tile.W*tlog.HashSize]
			}
		}
		if err != nil {
			return nil, err
		}
		t.read++
		out = append(out, data)
	}
	return out, nil
}

// memory holds every hash in x/mod's own storage order.
type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		if i >= int64(len(m)) {
			return nil, fmt.Errorf("no hash %d", i)
		}
		out = append(out, m[i])
	}
	return out, nil
}

// cosigner checks the timestamped signatures of a witness (cosignature/v1, key type 0x04), which
// x/mod does not know.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }
func (c *cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	head := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(c.key, append([]byte(head), msg...), sig[8:])
}

func newCosigner(vkey string) (*cosigner, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("malformed key")
	}
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != 4 {
		return nil, fmt.Errorf("not a cosigner's key")
	}
	id := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	if uint32(hash) != binary.BigEndian.Uint32(id[:]) {
		return nil, fmt.Errorf("the key's id is wrong")
	}
	return &cosigner{parts[0], uint32(hash), key[1:]}, nil
}

// readWitnesses takes the witness lines of a tlog-policy.
func readWitnesses(path string) []note.Verifier {
	var out []note.Verifier
	text, err := os.ReadFile(path)
	if err != nil {
		die("%v", err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		words := strings.Fields(line)
		if len(words) >= 3 && words[0] == "witness" {
			c, err := newCosigner(words[2])
			if err != nil {
				die("%s: %s: %v", path, words[1], err)
			}
			out = append(out, c)
		}
	}
	return out
}

// openCheckpoint wants the log's signature and that of every witness.
func openCheckpoint(path string, log note.Verifier, witnesses []note.Verifier) tlog.Tree {
	raw, err := os.ReadFile(path)
	if err != nil {
		die("%v", err)
	}
	return openNote(path, raw, log, witnesses)
}

func openNote(path string, raw []byte, log note.Verifier, witnesses []note.Verifier) tlog.Tree {
	n, err := note.Open(raw, note.VerifierList(append(witnesses, log)...))
	if err != nil {
		die("%s: %v", path, err)
	}
	for _, want := range append([]note.Verifier{log}, witnesses...) {
		found := false
		for _, sig := range n.Sigs {
			found = found || (sig.Name == want.Name() && sig.Hash == want.KeyHash())
		}
		if !found {
			die("%s: not signed by %s", path, want.Name())
		}
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != log.Name() {
		die("%s: origin %q, key %q", path, lines[0], log.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		die("%s: size %q: %v", path, lines[1], err)
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		die("%s: root %q", path, lines[2])
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree
}

// readPruned tells the first entry that is still there: the signed statement DIR/pruned, which an
// entry of the log must repeat (saysPruned).
func readPruned(dir string, log note.Verifier) (first, entry int64) {
	raw, err := os.ReadFile(filepath.Join(dir, "pruned"))
	if os.IsNotExist(err) {
		return 0, 0
	}
	if err != nil {
		die("%v", err)
	}
	n, err := note.Open(raw, note.VerifierList(log))
	if err != nil {
		die("pruned: %v", err)
	}
	want := "domicile-audit-pruned/v1\n" + log.Name() + "\n"
	if !strings.HasPrefix(n.Text, want) {
		die("pruned: of another log or form")
	}
	if _, err := fmt.Sscanf(n.Text[len(want):], "first %d\nentry %d\n", &first, &entry); err != nil ||
		first%256 != 0 || entry < first {
		die("pruned: %q: %v", n.Text, err)
	}
	return first, entry
}

func saysPruned(entry []byte, first int64) bool {
	return bytes.Contains(entry, []byte(`"type":"purge"`)) &&
		bytes.Contains(entry, []byte(`{"action":"prune"`)) &&
		bytes.Contains(entry, []byte(fmt.Sprintf(`"first":%d,`, first)))
}

// readHashes takes the leaf hashes of a pruned bundle from its tile; the root vouches for them.
func readHashes(dir string, n int64, stored memory) memory {
	tile := tlog.Tile{H: tileHeight, N: n, W: 1 << tileHeight}
	data, err := os.ReadFile(filepath.Join(dir, c2spPath(tile)))
	if err != nil || len(data) != tlog.HashSize<<tileHeight {
		die("%s: %d bytes: %v", c2spPath(tile), len(data), err)
	}
	for i := int64(0); i < 1<<tileHeight; i++ {
		var leaf tlog.Hash
		copy(leaf[:], data[i*tlog.HashSize:])
		hashes, err := tlog.StoredHashesForRecordHash(n<<tileHeight+i, leaf, stored)
		if err != nil {
			die("%v", err)
		}
		stored = append(stored, hashes...)
	}
	return stored
}

// readEntries hashes all entries into x/mod's storage order.
func readEntries(dir string, size int64, log note.Verifier) memory {
	var stored memory
	first, says := readPruned(dir, log)
	said := first == 0
	for index := int64(0); index < size; {
		if index < first {
			stored = readHashes(dir, index>>tileHeight, stored)
			index += 1 << tileHeight
			continue
		}
		tile := tlog.Tile{H: tileHeight, N: index >> tileHeight, W: 1 << tileHeight}
		if left := size - index; left < 1<<tileHeight {
			tile.W = int(left)
		}
		data := readBundle(dir, bundlePath(tile))
		for i := 0; i < tile.W; i++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				die("%s: cut short", bundlePath(tile))
			}
			n := 2 + int(binary.BigEndian.Uint16(data))
			hashes, err := tlog.StoredHashes(index, data[2:n], stored)
			if err != nil {
				die("%v", err)
			}
			stored = append(stored, hashes...)
			said = said || (index == says && saysPruned(data[2:n], first))
			data = data[n:]
			index++
		}
		if len(data) != 0 {
			die("%s: bytes behind the last entry", bundlePath(tile))
		}
	}
	if !said {
		die("pruned: entry %d does not say that the log was pruned to %d", says, first)
	}
	return stored
}

func checkTiles(dir string, size int64, stored memory) int {
	count := 0
	for level := 0; size>>(uint(level)*tileHeight) > 0; level++ {
		hashes := size >> (uint(level) * tileHeight)
		for n := int64(0); n<<tileHeight < hashes; n++ {
			tile := tlog.Tile{H: tileHeight, L: level, N: n, W: 1 << tileHeight}
			if left := hashes - n<<tileHeight; left < 1<<tileHeight {
				tile.W = int(left)
			}
			want, err := tlog.ReadTileData(tile, stored)
			if err != nil {
				die("%v", err)
			}
			got, err := os.ReadFile(filepath.Join(dir, c2spPath(tile)))
			if err != nil {
				die("%v", err)
			}
			if !bytes.Equal(got, want) {
				die("%s differs", c2spPath(tile))
			}
			count++
		}
	}
	return count
}

// checkProofFile checks an entry, its place and its way up to a signed checkpoint.
func checkProofFile(path string, log note.Verifier, witnesses []note.Verifier) {
	raw, err := os.ReadFile(path)
	if err != nil {
		die("%v", err)
	}
	head, rest := raw, []byte(nil)
	if at := bytes.Index(raw, []byte("\n\n")); at >= 0 {
		head, rest = raw[:at], raw[at+2:]
	}
	lines := strings.Split(string(head), "\n")
	if len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" ||
		!strings.HasPrefix(lines[1], "extra ") || !strings.HasPrefix(lines[2], "index ") {
		die("%s: not a proof with its entry", path)
	}
	entry, err := base64.StdEncoding.Strict().DecodeString(lines[1][len("extra "):])
	if err != nil {
		die("%s: extra: %v", path, err)
	}
	index, err := strconv.ParseInt(lines[2][len("index "):], 10, 64)
	if err != nil || strconv.FormatInt(index, 10) != lines[2][len("index "):] {
		die("%s: index: %v", path, err)
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		var hash tlog.Hash
		bytes, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(bytes) != tlog.HashSize {
			die("%s: %q is no hash", path, line)
		}
		copy(hash[:], bytes)
		proof = append(proof, hash)
	}
	tree := openNote(path, rest, log, witnesses)
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		die("%s: %v", path, err)
	}
	fmt.Printf("OK index=%d size=%d witnesses=%d\n", index, tree.N, len(witnesses))
}

// treeRoot is that of a size; x/mod has none for nothing.
func treeRoot(size int64, stored memory) (tlog.Hash, error) {
	if size == 0 {
		return sha256.Sum256(nil), nil
	}
	return tlog.TreeHash(size, stored)
}

// tilesWanted is how many tiles one proof may touch: per level one full one on the way up from the
// record, and the one at the right edge.
func tilesWanted(size int64) int {
	count := 0
	for hashes := size; hashes > 0; hashes >>= tileHeight {
		count += 2
		if hashes <= 1<<tileHeight {
			count-- // the only one of its level is both
		}
	}
	return count
}

// checkProofs makes proofs out of the served tiles alone and checks them against the root. The
// number of tiles that the dearest of them read is returned too.
func checkProofs(dir string, tree tlog.Tree, stored memory) (int, int) {
	step := tree.N/97 + 1
	count, most := 0, 0
	spent := func(reader *tiles, what string, i int64) {
		if reader.read > tilesWanted(tree.N) {
			die("%s %d of %d reads %d tiles, %d are enough", what, i, tree.N, reader.read,
				tilesWanted(tree.N))
		}
		if reader.read > most {
			most = reader.read
		}
	}
	for i := int64(0); i < tree.N; i += step {
		reader := &tiles{dir: dir}
		proof, err := tlog.ProveRecord(tree.N, i, tlog.TileHashReader(tree, reader))
		if err != nil {
			die("record %d: %v", i, err)
		}
		spent(reader, "record", i)
		leaf := stored[tlog.StoredHashIndex(0, i)]
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, i, leaf); err != nil {
			die("record %d: %v", i, err)
		}
		older, err := tlog.TreeHash(i+1, stored)
		if err != nil {
			die("%v", err)
		}
		reader = &tiles{dir: dir}
		prefix, err := tlog.ProveTree(tree.N, i+1, tlog.TileHashReader(tree, reader))
		if err != nil {
			die("tree %d: %v", i+1, err)
		}
		if err := tlog.CheckTree(prefix, tree.N, tree.Hash, i+1, older); err != nil {
			die("tree %d: %v", i+1, err)
		}
		count += 2
	}
	return count, most
}

func main() {
	key := flag.String("key", "", "the log's public key")
	policy := flag.String("policy", "", "a tlog-policy whose witnesses must all have cosigned")
	old := flag.String("old", "", "an earlier checkpoint of the log")
	proof := flag.String("proof", "", "a proof file, which is checked by itself")
	flag.Parse()
	if (*proof == "") != (flag.NArg() == 1) || (*proof != "" && *key == "") {
		fmt.Fprintln(os.Stderr, "usage: tlog_verify [-key VKEY] [-policy FILE] [-old CHECKPOINT] DIR\n"+
			"       tlog_verify -key VKEY [-policy FILE] -proof FILE")
		os.Exit(3)
	}
	dir := flag.Arg(0)
	if *key == "" {
		vkey, err := os.ReadFile(filepath.Join(dir, "vkey"))
		if err != nil {
			die("%v", err)
		}
		*key = strings.TrimSpace(string(vkey))
	}
	log, err := note.NewVerifier(*key)
	if err != nil {
		die("key: %v", err)
	}
	var witnesses []note.Verifier
	if *policy != "" {
		witnesses = readWitnesses(*policy)
	}
	if *proof != "" {
		checkProofFile(*proof, log, witnesses)
		return
	}
	tree := openCheckpoint(filepath.Join(dir, "checkpoint"), log, witnesses)
	stored := readEntries(dir, tree.N, log)
	root, err := treeRoot(tree.N, stored)
	if err != nil || root != tree.Hash {
		die("the root of %d entries is %v, the checkpoint says %v (%v)", tree.N, root, tree.Hash, err)
	}
	if *old != "" {
		earlier := openCheckpoint(*old, log, nil)
		if earlier.N > tree.N {
			die("rewind: size %d, but an earlier checkpoint has %d", tree.N, earlier.N)
		}
		if root, err := treeRoot(earlier.N, stored); err != nil || root != earlier.Hash {
			die("fork: the first %d entries are not those of the earlier checkpoint", earlier.N)
		}
	}
	numTiles := checkTiles(dir, tree.N, stored)
	numProofs, most := checkProofs(dir, tree, stored)
	fmt.Printf("OK size=%d root=%v tiles=%d proofs=%d dearest=%d witnesses=%d\n", tree.N, root,
		numTiles, numProofs, most, len(witnesses))
}
