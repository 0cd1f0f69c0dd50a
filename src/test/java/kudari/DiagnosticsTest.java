package kudari;

import static kudari.OptimizerTest.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import kudari.Diagnostics.Check;
import kudari.Diagnostics.Status;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The pieces of the check-up that need no machine of a certain kind. {@code DoctorTest} sees the whole. */
class DiagnosticsTest {

    @TempDir
    private Path folder;

    @Test
    void whateverAProbeThrowsBecomesAFailedCheck() {
        Check told = Check.of("a piece", true, "buy a new one", () -> {
            throw new CudaException("it is broken", "fix it");
        });
        assertEquals(new Check(Status.BROKEN, "a piece", "it is broken", "fix it"), told);
        assertEquals("!!  a piece      it is broken\n                 Fix it.", told.toString());
        for (Throwable thrown : List.of(
                new IllegalStateException("it is broken\nand how"),
                new UnsatisfiedLinkError("it is broken"),
                new OutOfMemoryError("it is broken"),
                new IOException("it is broken"))) {
            Check found = Check.of("a piece", false, "buy a new one", () -> {
                if (thrown instanceof Error error) throw error;
                throw (Exception) thrown;
            });
            assertEquals(new Check(Status.ABSENT, "a piece", "it is broken", "buy a new one"), found);
        }
    }

    @Test
    void cublasIsFoundInTheFirstFolderThatHasIt() throws IOException {
        refused(CudaException.class, this::cublas, "no cuBLAS (libcublas.so.12)", "libcublas-12-9");
        Files.createFile(folder.resolve("libcublas.so.13"));
        refused(
                CudaException.class,
                this::cublas,
                "only of CUDA 13 (" + folder + "/libcublas.so.13)",
                "libcublas-12-9");
        Files.createFile(folder.resolve("libcublas.so.12"));
        refused(CudaException.class, this::cublas, "cannot be loaded: " + folder, "file too short");
    }

    private void cublas() {
        Libraries.loadCublas(List.of(folder.resolve("nowhere"), folder));
    }

    @Test
    void theCacheIsTriedAndLeftAsItWas() throws IOException {
        System.setProperty("kudari.cache", folder.toString());
        try {
            Path kernels = folder.toRealPath().resolve("kernels");
            assertTrue(Diagnostics.cache().startsWith(kernels + ", "));
            try (Stream<Path> files = Files.list(kernels)) {
                assertEquals(List.of(), files.toList());
            }
            Path file = Files.createFile(folder.resolve("file"));
            System.setProperty("kudari.cache", file.toString());
            refused(
                    CudaException.class,
                    Diagnostics::cache,
                    file + "/kernels: Not a directory",
                    "-Dkudari.cache=FOLDER");
        } finally {
            System.clearProperty("kudari.cache");
        }
    }
}
