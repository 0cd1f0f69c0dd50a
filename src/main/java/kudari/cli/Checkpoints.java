package kudari.cli;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import kudari.checkpoint.Checkpoint;

/** Where a run's checkpoints lie: the newest under one name, and before it as many as are to be kept, {@code model-step600.safetensors}. */
final class Checkpoints {

    private static final Pattern OLDER = Pattern.compile("(.*)-step(\\d{1,18})((?:\\.[^.]*)?)");

    private final Path file;
    private final int keep;
    private final Path folder;
    private final String stem, extension;

    /** The step of the checkpoint in the file, if it is this run's; or −1. */
    private long saved;

    /**
     * The checkpoints of a run.
     *
     * @param file the newest
     * @param keep how many there are to be, at least 1
     * @param saved the step of the one that is in the file; −1 if none is, or it is not this run's
     */
    Checkpoints(Path file, int keep, long saved) {
        this.file = file;
        this.keep = keep;
        this.saved = saved;
        this.folder = file.toAbsolutePath().getParent();
        String name = file.getFileName().toString();
        int dot = name.lastIndexOf('.') > 0 ? name.lastIndexOf('.') : name.length();
        this.stem = name.substring(0, dot);
        this.extension = name.substring(dot);
    }

    /** The name of the newest checkpoint of the run that this is a checkpoint of: the same, or the one that this was kept beside. */
    static Path newest(Path file) {
        Matcher older = OLDER.matcher(file.getFileName().toString());
        return older.matches() ? file.resolveSibling(older.group(1) + older.group(3)) : file;
    }

    /** The step of the newest checkpoint, −1 if there is none. */
    long saved() {
        return saved;
    }

    /** Writes the newest one. */
    void write(Checkpoint checkpoint, long step) throws IOException {
        if (keep > 1 && saved >= 0 && saved != step) keepTheLast();
        checkpoint.write(file);
        saved = step;
        if (keep > 1) removeTheOldest();
    }

    private void keepTheLast() throws IOException {
        Path kept = older(saved), last = file.toRealPath();
        try {
            try {
                Files.createLink(kept, last); // the same file: nothing is copied, and it is whole at once
            } catch (FileAlreadyExistsException e) {
                throw e;
            } catch (IOException | UnsupportedOperationException e) {
                Files.copy(last, kept); // a disk without links
            }
        } catch (FileAlreadyExistsException e) {
            // From before the run went back to an older checkpoint: the same bits.
        } catch (IOException e) {
            throw new IOException("cannot keep " + file + " as " + kept, e);
        }
    }

    /** Those behind this step, which a run leaves that has gone back, stay until the run has come to them again. */
    private void removeTheOldest() throws IOException {
        List<Long> steps;
        try (Stream<Path> files = Files.list(folder)) {
            steps = files.map(f -> OLDER.matcher(f.getFileName().toString()))
                    .filter(m ->
                            m.matches() && m.group(1).equals(stem) && m.group(3).equals(extension))
                    .map(m -> Long.valueOf(m.group(2)))
                    .filter(step -> step <= saved)
                    .sorted(Comparator.reverseOrder())
                    .toList();
        }
        for (long step : steps.subList(Math.min(keep - 1, steps.size()), steps.size()))
            Files.deleteIfExists(older(step));
    }

    private Path older(long step) {
        return file.resolveSibling(stem + "-step" + step + extension);
    }

    @Override
    public String toString() {
        return file.toString();
    }
}
