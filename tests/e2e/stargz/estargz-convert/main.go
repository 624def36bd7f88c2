// Makes an eStargz image of an image in a registry (plain HTTP) and puts it there under another tag.
//
//	estargz-convert HOST:PORT/REPOSITORY TAG NEW-TAG < FILES
//
// FILES has a path a line: what a start reads, in its order, and what every layer has first.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: estargz-convert HOST:PORT/REPOSITORY TAG NEW-TAG < FILES")
	}
	host, repository, _ := strings.Cut(os.Args[1], "/")
	files, err := readFiles(os.Stdin)
	if err == nil {
		base := fmt.Sprintf("http://%s/v2/%s", host, repository)
		err = convert(registry{base}, os.Args[2], os.Args[3], files)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func readFiles(input io.Reader) (files []string, err error) {
	lines := bufio.NewScanner(input)
	seen := map[string]bool{}
	for lines.Scan() {
		if path := strings.TrimPrefix(lines.Text(), "/"); path != "" && !seen[path] {
			seen[path] = true
			files = append(files, path)
		}
	}
	return files, lines.Err()
}

func convert(registry registry, tag, newTag string, files []string) error {
	var manifest ocispec.Manifest
	var image map[string]any
	if err := registry.get("manifests/"+tag, &manifest); err != nil {
		return err
	}
	if err := registry.get("blobs/"+manifest.Config.Digest.String(), &image); err != nil {
		return err
	}
	var diffIDs []string
	for number := range manifest.Layers {
		diffID, err := convertLayer(registry, &manifest.Layers[number], files)
		if err != nil {
			return err
		}
		diffIDs = append(diffIDs, diffID.String())
	}
	image["rootfs"] = map[string]any{"type": "layers", "diff_ids": diffIDs}
	config, err := json.Marshal(image)
	if err != nil {
		return err
	}
	manifest.Config.Digest, manifest.Config.Size = digest.FromBytes(config), int64(len(config))
	if err := registry.put(manifest.Config.Digest, bytes.NewReader(config), int64(len(config))); err != nil {
		return err
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	return registry.do("PUT", registry.base+"/manifests/"+newTag, manifest.MediaType, bytes.NewReader(text),
		int64(len(text)), http.StatusCreated, nil)
}

func convertLayer(registry registry, layer *ocispec.Descriptor, files []string) (digest.Digest, error) {
	from, err := os.CreateTemp("", "layer")
	if err != nil {
		return "", err
	}
	defer os.Remove(from.Name())
	defer from.Close()
	err = registry.do("GET", registry.base+"/blobs/"+layer.Digest.String(), "", nil, 0, http.StatusOK,
		func(answer *http.Response) error {
			_, err := io.Copy(from, answer.Body)
			return err
		})
	if err != nil {
		return "", err
	}
	// A layer has some of the files only.
	var missed []string
	blob, err := estargz.Build(io.NewSectionReader(from, 0, layer.Size), estargz.WithPrioritizedFiles(files),
		estargz.WithAllowPrioritizeNotFound(&missed))
	if err != nil {
		return "", err
	}
	defer blob.Close()
	to, err := os.CreateTemp("", "estargz")
	if err != nil {
		return "", err
	}
	defer os.Remove(to.Name())
	defer to.Close()
	digester := digest.Canonical.Digester()
	if layer.Size, err = io.Copy(io.MultiWriter(to, digester.Hash()), blob); err != nil {
		return "", err
	}
	uncompressed, err := blob.UncompressedSize()
	if err != nil {
		return "", err
	}
	layer.Digest, layer.MediaType = digester.Digest(), ocispec.MediaTypeImageLayerGzip
	layer.Annotations = map[string]string{
		estargz.TOCJSONDigestAnnotation:         blob.TOCDigest().String(),
		estargz.StoreUncompressedSizeAnnotation: fmt.Sprint(uncompressed),
	}
	return blob.DiffID(), registry.put(layer.Digest, io.NewSectionReader(to, 0, layer.Size), layer.Size)
}

// A repository of a registry.
type registry struct{ base string }

func (r registry) get(path string, value any) error {
	return r.do("GET", r.base+"/"+path, "", nil, 0, http.StatusOK, func(answer *http.Response) error {
		return json.NewDecoder(answer.Body).Decode(value)
	})
}

func (r registry) put(name digest.Digest, body io.Reader, size int64) error {
	var place string
	err := r.do("POST", r.base+"/blobs/uploads/", "", nil, 0, http.StatusAccepted, func(answer *http.Response) error {
		place = answer.Header.Get("Location")
		return nil
	})
	if err != nil {
		return err
	}
	separator := "?"
	if strings.Contains(place, "?") {
		separator = "&"
	}
	return r.do("PUT", place+separator+"digest="+name.String(), "application/octet-stream", body, size,
		http.StatusCreated, nil)
}

func (r registry) do(method, url, kind string, body io.Reader, size int64, want int,
	take func(*http.Response) error) error {
	request, err := http.NewRequest(method, url, body)
	if err != nil {
		return err
	}
	request.ContentLength = size
	request.Header.Set("Accept", ocispec.MediaTypeImageManifest)
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != want {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		return fmt.Errorf("%s %s: %s: %s", method, url, answer.Status, text)
	}
	if take == nil {
		return nil
	}
	return take(answer)
}
