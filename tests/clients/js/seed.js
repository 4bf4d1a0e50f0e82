class JumboUploader {
    constructor(uploadId, chunkSize, totalChunks) {
        this.uploadId = uploadId;
        this.chunkSize = chunkSize;
        this.totalChunks = totalChunks;
        this.currentChunk = 0;
    }
    
    async uploadFile(file) {
        // Start upload
        const startResponse = await fetch('/upload/start', {
            method: 'POST',
            headers: {'Content-Type': 'application/json'},
            body: JSON.stringify({
                filename: file.name,
                size: file.size,
                metadata: {type: file.type}
            })
        });
        
        const {upload_id, chunk_size, total_chunks} = await startResponse.json();
        
        // Upload chunks
        for (let i = 0; i < total_chunks; i++) {
            const start = i * chunk_size;
            const end = Math.min(start + chunk_size, file.size);
            const chunk = file.slice(start, end);
            
            const formData = new FormData();
            formData.append('upload_id', upload_id);
            formData.append('chunk_number', i);
            formData.append('chunk', chunk);
            
            const response = await fetch('/upload/chunk', {
                method: 'POST',
                body: formData
            });
            
            const result = await response.json();
            
            if (result.status === 'completed') {
                console.log('Upload complete!', result.path);
                break;
            }
            
            // Update progress
            this.updateProgress(result.progress);
        }
    }
    
    updateProgress(progress) {
        // Update UI progress bar
        document.getElementById('progress').style.width = progress + '%';
    }
}
