package kudari.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import kudari.checkpoint.Checkpoint;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The command {@code train} on a device. Runs where {@code kudari.device} names a CUDA device. */
class CudaTrainTest {

    private static final String DEVICE =
            System.getProperty("kudari.device", "cpu").replace("soft", "cuda");

    @TempDir
    private Path folder;

    private void trained(Path into, String device, String... more) {
        assumeTrue(DEVICE.startsWith("cuda"), "kudari.device names no CUDA device");
        StringWriter said = new StringWriter();
        List<String> args = new ArrayList<>(List.of("train", "--out=" + into, "--device=" + device));
        args.addAll(List.of(more));
        int status = Main.run(new PrintWriter(said, true), new PrintWriter(said, true), args.toArray(String[]::new));
        assertEquals(0, status, said::toString);
        assertTrue(device.equals("cpu") == said.toString().contains("kudari: on CPU"), said::toString);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "--precision=bf16 --master=stochastic ", "--precision=fp16 "})
    void aRunGoesOnOnTheDeviceWithTheSameBits(String precision) throws IOException {
        String settings =
                "--data=digits:20,5 --hidden=6 --batch=7 --clip=0.5 --save-every=100 " + precision + "--steps=";
        Path whole = folder.resolve("whole"), parts = folder.resolve("parts");
        trained(whole, DEVICE, (settings + 9).split(" "));
        trained(parts, DEVICE, (settings + 4).split(" "));
        trained(parts, DEVICE, "--steps=9", "--resume=" + parts.resolve("model.safetensors"));
        TrainTest.assertSame(whole.resolve("model.safetensors"), parts.resolve("model.safetensors"));
        assertEquals(TrainTest.losses(whole), TrainTest.losses(parts));
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp32", "bf16", "fp16"})
    void aCheckpointOfTheDeviceGoesOnOnTheCpu(String precision) throws IOException {
        trained(
                folder,
                DEVICE,
                "--data=digits:20,5",
                "--hidden=6",
                "--batch=7",
                "--steps=3",
                "--precision=" + precision);
        Path model = folder.resolve("model.safetensors");
        trained(folder, "cpu", "--steps=6", "--resume=" + model);
        assertEquals(6, Checkpoint.read(model).steps());
        assertEquals(7, Files.readAllLines(folder.resolve("train.csv")).size());
    }
}
