/**
 * What a run leaves on disk: {@link kudari.checkpoint.Safetensors} is the file, {@link kudari.checkpoint.Checkpoint} a run in it. {@link
 * kudari.checkpoint.SafetensorsFile} reads files of others.
 */
package kudari.checkpoint;
