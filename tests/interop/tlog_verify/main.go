// tlog_verify checks a published audit log with the Go checksum database's libraries
// (golang.org/x/mod/sumdb), which know nothing of this project.
//
//	tlog_verify DIR
//
// It opens DIR/checkpoint as a signed note with DIR/vkey, hashes every entry of the bundles,
// computes the root, compares every hash tile with the one it computes itself, and proves
// records and older trees through the tiles. Exit status 0: all agree.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
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

func openCheckpoint(dir string) tlog.Tree {
	vkey, err := os.ReadFile(filepath.Join(dir, "vkey"))
	if err != nil {
		die("%v", err)
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	if err != nil {
		die("vkey: %v", err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		die("%v", err)
	}
	n, err := note.Open(raw, note.VerifierList(verifier))
	if err != nil {
		die("checkpoint: %v", err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		die("checkpoint: origin %q, key %q", lines[0], verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		die("checkpoint: size: %v", err)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		die("checkpoint: root %q", lines[2])
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree
}

// readEntries hashes all entries into x/mod's storage order.
func readEntries(dir string, size int64) memory {
	var stored memory
	for index := int64(0); index < size; {
		tile := tlog.Tile{H: tileHeight, N: index >> tileHeight, W: 1 << tileHeight}
		if left := size - index; left < 1<<tileHeight {
			tile.W = int(left)
		}
		data, err := os.ReadFile(filepath.Join(dir, bundlePath(tile)))
		if err != nil {
			die("%v", err)
		}
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
			data = data[n:]
			index++
		}
		if len(data) != 0 {
			die("%s: bytes behind the last entry", bundlePath(tile))
		}
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

// checkProofs makes proofs out of the served tiles alone and checks them against the root.
func checkProofs(dir string, tree tlog.Tree, stored memory) int {
	reader := &tiles{dir: dir}
	hashes := tlog.TileHashReader(tree, reader)
	step := tree.N/97 + 1
	count := 0
	for i := int64(0); i < tree.N; i += step {
		proof, err := tlog.ProveRecord(tree.N, i, hashes)
		if err != nil {
			die("record %d: %v", i, err)
		}
		leaf := stored[tlog.StoredHashIndex(0, i)]
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, i, leaf); err != nil {
			die("record %d: %v", i, err)
		}
		older, err := tlog.TreeHash(i+1, stored)
		if err != nil {
			die("%v", err)
		}
		prefix, err := tlog.ProveTree(tree.N, i+1, hashes)
		if err != nil {
			die("tree %d: %v", i+1, err)
		}
		if err := tlog.CheckTree(prefix, tree.N, tree.Hash, i+1, older); err != nil {
			die("tree %d: %v", i+1, err)
		}
		count += 2
	}
	return count
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: tlog_verify DIR")
		os.Exit(3)
	}
	dir := os.Args[1]
	tree := openCheckpoint(dir)
	stored := readEntries(dir, tree.N)
	root, err := tlog.TreeHash(tree.N, stored)
	if err != nil || root != tree.Hash {
		die("the root of %d entries is %v, the checkpoint says %v (%v)", tree.N, root, tree.Hash, err)
	}
	numTiles := checkTiles(dir, tree.N, stored)
	numProofs := checkProofs(dir, tree, stored)
	fmt.Printf("OK size=%d root=%v tiles=%d proofs=%d\n", tree.N, root, numTiles, numProofs)
}
